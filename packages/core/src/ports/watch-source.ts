import type { Gap, HighWaterReading, PolledSource } from './event-source.ts'

/** What `createWatch` needs of a store with dense positions: polls, and looks at what is visible. */
export interface WatchSource extends PolledSource<bigint> {
  /** One look, with a snapshot that is taken during this call. Rejects with `IncarnationChangedError` as `load` does. */
  look(request: LookRequest): Promise<Look>
  /**
   * For each of `behind` the oldest settled event above its position that is of its types; `undefined` where that is not known. For
   * sources that know when events were appended.
   */
  oldestAbove?(request: OldestRequest): Promise<readonly (OldestAbove | undefined)[]>
}

export interface LookRequest {
  /** The newest poll: of the incarnation that is to be looked at. */
  readonly reading: HighWaterReading<bigint>
  /** Runs of positions that were not visible at the look before, the lowest first. */
  readonly runs: readonly Gap<bigint>[]
  /** What stands above this was not looked at yet. */
  readonly above: bigint
  /** What stands above this is not to be looked at; its number was handed out. Without it, some thousands of positions are. */
  readonly upTo?: bigint
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

/** What one snapshot showed. Placeholders, and rows that are not of the watched order, are not in it. */
export interface Look {
  /** What is visible in the runs. */
  readonly appeared: readonly VisibleEvent[]
  /** Parts of the runs at which it did not look. */
  readonly unseen: readonly Gap<bigint>[]
  /** What is visible in `(above, through]`, the lowest first. */
  readonly visible: readonly VisibleEvent[]
  readonly through: bigint
  /** Changes when parts of the table come or go, with the events in them; compared for equality. */
  readonly layout?: string | undefined
}

export interface VisibleEvent {
  readonly position: bigint
  /** The transaction that appended it, where the table has it in a column. */
  readonly transaction: bigint | undefined
  readonly type: string | undefined
  /** The name of its stream, where the source was told the column. */
  readonly stream?: string | undefined
  /** W3C `traceparent` of the trace that appended it, where the source knows that. */
  readonly traceparent?: string | undefined
}

export interface OldestRequest {
  readonly reading: HighWaterReading<bigint>
  readonly behind: readonly { readonly position: bigint; readonly types: readonly string[] | 'all' }[]
  readonly signal: AbortSignal
}

/** `none`: no event waits. */
export type OldestAbove =
  | 'none'
  /** `appendedAtMs` is by the clock of this process; `undefined` where the event does not say it. */
  | { readonly position: bigint; readonly appendedAtMs: number | undefined }
