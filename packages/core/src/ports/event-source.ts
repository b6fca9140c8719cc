import type { PositionOrder } from './position.ts'
import type { SlotRange, Unit } from './unit.ts'

/**
 * The port that an adapter implements: one event store, read in its global order.
 *
 * @typeParam P - position
 * @typeParam E - event, as handlers get it
 */
export interface EventSource<P, E> {
  /** Names this store in checkpoints, metrics and messages; stable across restarts. */
  readonly name: string
  readonly order: PositionOrder<P>
  /** Whether `LoadRequest.eventTypes` is honoured. */
  readonly filtersByType: boolean
  /** Whether `LoadRequest.slots` is honoured, and `OpenRequest.keyColumns` are checked. @default false */
  readonly filtersBySlot?: boolean
  /** Whether a mark may pass positions without proof: then a checkpoint store has to count them. @default false */
  readonly passesUnproven?: boolean
  /** For how long positions that a mark has passed without proof are looked at again. Beside `passesUnproven`, with `findIn`. */
  readonly lateEventWindowMs?: number | undefined
  /** Types of rows that are no events and are never loaded: a projection that asks for one is refused. */
  readonly placeholderTypes?: readonly string[]
  /**
   * Names the run of the store that polls are about to read, and checks every condition. The caller then reads what
   * checkpoint stores remember, and polls. Progress that is read earlier may be lost in a crash or failover meanwhile:
   * it would settle numbers that are handed out again.
   */
  open(request: OpenRequest): Promise<OpenedSource>
  /**
   * One poll of the store. Rejects with `IncarnationChangedError` when what `previous` or `opened` learned no longer
   * holds: the caller drops it, opens the source again, reads the stored progress again and polls anew. Rejects with
   * `ProgressNeededError` when what it found cannot be judged without `stored`: the caller reads that, and polls again.
   */
  readHighWater(request: HighWaterRequest<P>): Promise<HighWaterReading<P>>
  /**
   * Events after `after`, up to and including `upTo`, oldest first, read with a snapshot taken after the poll behind
   * `upTo`. Rejects with `IncarnationChangedError` when the store is no longer the one that poll has seen.
   */
  load(request: LoadRequest<P>): Promise<Page<P, E>>
  /**
   * The events that are visible now in runs of positions, at most `limit` of each run, the lowest first; placeholders are
   * left out. For sources that pass positions without proof: an event that is found in such a run is late.
   */
  findIn?(runs: readonly Gap<P>[], limit: number, signal: AbortSignal): Promise<readonly FoundEvent<P>[]>
  /**
   * The events that are visible now from one position to another, as handlers get them, at most `limit`: for somebody who looks
   * at them, under no mark. Rejects as `load` does where one cannot be made of its row.
   */
  eventsAt?(run: Gap<P>, limit: number, signal: AbortSignal): Promise<readonly E[]>
  /**
   * Tells that something may have been appended. A hint only: polling alone is always enough. `undefined`: nothing more is
   * known. Where it fails or ends it is asked for again: soon, or after five minutes where its error has the code
   * `TIDEMARK_WAKE_UPS_UNAVAILABLE`.
   */
  wakeUps?(signal: AbortSignal): AsyncIterable<WakeUp<P> | undefined>
  /** What an operator runs or reads to find out more about these holders. */
  lookCloser?(holders: readonly Holder[]): string
  /** Whether an error is a passing fault of the store or the way to it (restart, failover, cut connection). */
  isTransient(error: unknown): boolean
}

/** A source that is polled, and not read. */
export type PolledSource<P> = Omit<EventSource<P, unknown>, 'load' | 'findIn' | 'eventsAt'>

/** What a source knows when it tells that something may have been appended. */
export interface WakeUp<P> {
  /** The newest position that the store has handed out. A poll that has seen it learns nothing new. */
  readonly handedOut: P
  /**
   * Whether each further position is told too, as soon as it is handed out, until the wake-ups fail or end. Polls then rest
   * for `pollIntervalMs` where nothing is open.
   */
  readonly tellsAll: boolean
}

export interface OpenRequest {
  /** The columns of `LoadRequest.slots` to come: values of one key have to have one text, for ever. */
  readonly keyColumns?: readonly string[]
  /** Fires when nobody waits for the answer any more: the call rejects at once. */
  readonly signal: AbortSignal
  /** As in `HighWaterRequest`. */
  readonly waiting?: (what: PollWait) => void
}

/** What `EventSource.open` has found. */
export interface OpenedSource {
  /** Which run of which server this is; compared for equality, never read by core. */
  readonly incarnation: string
  /** What the source wants back at each poll of this incarnation. Opaque to core. */
  readonly memory: unknown
}

export interface HighWaterRequest<P> {
  /** The last reading of this incarnation; `undefined` on the first poll. */
  readonly previous: HighWaterReading<P> | undefined
  /** What the call of `open` before the first poll of this incarnation has found. */
  readonly opened: OpenedSource
  /**
   * What checkpoint stores remember of this source, read after `open`. Given on the first poll of an incarnation, and on
   * one that follows a `ProgressNeededError`.
   */
  readonly stored: readonly StoredProgress<P>[] | undefined
  /**
   * Whether progress is kept in the same log as this incarnation's events, so that a crash or failover keeps both or
   * loses both. If not, a mark is passed on only when the events under it are durable.
   */
  readonly sharesLog: boolean
  /** On the first poll of an incarnation, the last reading of the one before: what was passed on then. */
  readonly former?: HighWaterReading<P> | undefined
  /** Up to here every projection of this process has handled what there was; `undefined`: not known. */
  readonly projected?: P | undefined
  /** What a wake-up has told that this poll is the first to heed. A source needs not ask by itself whether there is anything new. */
  readonly told?: P
  /**
   * Who reads near the mark, or further behind. A source may bring the rows above the mark along with its answer, keep them, and
   * make pages of them (`LoadRequest.mayComeAlong`). So each is read once, however many want it. Or it ignores this.
   */
  readonly tails?: readonly TailWish<P>[]
  /** What an operator runs once the store went back, for the message: how the checkpoints are kept, or begun anew. */
  readonly toDecide?: string
  /** Fires when nobody waits for the answer any more: the poll rejects at once. */
  readonly signal: AbortSignal
  /**
   * For sources that take connections from a pool: called whenever a poll begins to wait for one, and when it has one. The
   * wait for a connection does not count towards `pollTimeShare`, and the log says which of the two a poll hangs in.
   */
  readonly waiting?: (what: PollWait) => void
}

/** A projection that reads on from there. */
export interface TailWish<P> {
  /** Everything up to here is handled. */
  readonly after: P
  /** As in `LoadRequest`. */
  readonly eventTypes: readonly string[] | undefined
  /** As in `LoadRequest`. */
  readonly slots?: KeySlots
}

/** The events that have one of these slots, by a column: see `slotOf`. */
export interface KeySlots extends SlotRange {
  /** The column with the key. */
  readonly column: string
}

/** What a poll waits for: a connection of a pool, or the store's answer. */
export type PollWait = 'connection' | 'answer'

/** What one poll saw, and what follows from it. */
export interface HighWaterReading<P> {
  /** The newest position that the store has handed out. */
  readonly head: P | undefined
  /** Up to here every position is visible or proven empty. */
  readonly settled: P | undefined
  /** The last visible event at or below `settled`: projections never read past it. */
  readonly mark: P | undefined
  /** The open gaps between settled and head: the lowest ones, where there are many. */
  readonly gaps: readonly Gap<P>[]
  /** Who may still fill them. */
  readonly holders: readonly Holder[]
  /** Positions that this poll proved empty: no transaction can fill them any more. */
  readonly provenEmpty: readonly Gap<P>[]
  /** Runs that this poll passed *without* proof. Always empty in proof mode. */
  readonly skipped: readonly SkippedRun<P>[]
  /** Which run of which server this was; compared for equality, never read by core. */
  readonly incarnation: string
  /** Where the store's log stood, for stores that have one. Opaque to core. */
  readonly logPosition: string | undefined
  /** What the source wants back at its next poll. Opaque to core. */
  readonly memory: unknown
}

/** A run of positions with no visible event. Both ends are included. */
export interface Gap<P> {
  readonly from: P
  readonly to: P
}

/** An event that is visible where one was looked for. */
export interface FoundEvent<P> {
  readonly position: P
  /** `undefined` where the source does not know types. */
  readonly type: string | undefined
}

/** A transaction that may still fill a gap, or that merely reads the sequence's last value. */
export interface Holder {
  /** The store's own name of the transaction. */
  readonly transaction: string
  /** The server process to look at; absent for a prepared transaction. */
  readonly pid: number | undefined
  readonly applicationName: string | undefined
  /** Absent where the reader may not see it. */
  readonly startedAt: Date | undefined
}

/** Positions between two visible events that the mark passed without proof: `count = current - stored - 1`. */
export interface SkippedRun<P> {
  /** The mark before. */
  readonly stored: P
  /** The next visible position. */
  readonly current: P
  readonly count: bigint
  /** The transactions that had written and were open when it was passed. `undefined`: nobody could look. */
  readonly heldBy?: readonly Holder[] | undefined
}

/** The part of a poll that progress rests on; it travels with each page and is stored with each checkpoint. */
export interface Evidence<P> {
  readonly incarnation: string
  readonly settled: P | undefined
  readonly logPosition: string | undefined
}

/** A checkpoint, or a settled position stored alone, as read back from a checkpoint store. */
export interface StoredProgress<P> extends Partial<Evidence<P>> {
  /** `undefined` for a settled position that was saved alone. */
  readonly unit: Unit | undefined
  readonly position: P | undefined
}

export interface LoadRequest<P> {
  /** `undefined` is below every position. */
  readonly after: P | undefined
  /** The first position that is wanted, instead of the one after `after`. */
  readonly from?: P | undefined
  readonly upTo: P
  readonly limit: number
  /**
   * About how much may come over the network, where the source knows: a page that would bring more has fewer events, of one
   * position at least. It says by `through` how far it came.
   */
  readonly mostBytes?: number
  /** Only events of these types, where given. */
  readonly eventTypes: readonly string[] | undefined
  /** Only events of these slots, where given. */
  readonly slots?: KeySlots
  /** The poll behind `upTo`. */
  readonly evidence: Evidence<P>
  /**
   * Whether rows will do that a poll of the same incarnation has brought along, this one or an earlier one, up to a mark of its own. Not
   * where a page is asked for again: somebody may have mended an event meanwhile. A page of such rows may end before `upTo`.
   */
  readonly mayComeAlong?: boolean
  /** Fires when nobody waits for the page any more: the load rejects at once. */
  readonly signal: AbortSignal
}

export interface Page<P, E> {
  readonly events: readonly E[]
  /** The position of each event. */
  readonly positions: readonly P[]
  /** The type of each event, where the source knows: what a log names when a batch fails. */
  readonly types?: readonly string[] | undefined
  /**
   * When each event was appended, in milliseconds since 1970, where the source knows. An entry is `undefined` where it does
   * not know the time of this event.
   */
  readonly appendTimesMs?: readonly (number | undefined)[] | undefined
  /**
   * About how much of it came over the network, where the source knows: the next pages are smaller where that is a lot.
   */
  readonly bytes?: number | undefined
  /**
   * The source has looked at everything up to here, and the next page begins after it. It is the last event's position
   * when the page is full, `upTo` otherwise. A source that stops earlier (few events match) says how far it came: at or
   * above its last event, and above `after`.
   */
  readonly through: P
}
