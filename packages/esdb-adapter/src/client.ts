/**
 * The part of `@eventstore/db-client` and `@kurrent/kurrentdb-client` that is used, as structural types that both
 * clients fulfil, so that neither is imported at run time. Where the two differ, it is said and dealt with here:
 *
 * - `appendToStream` calls the expected revision `expectedRevision` in one and `streamState` in the other;
 * - `readStream` and `readAll` give a `Readable` in one and an async generator over a native addon in the other, which
 *   nothing can cancel while it waits for the server;
 * - an event's `created` is exact to the second only where the native addon has read it;
 * - `readAll` knows a `filter` in one only: not used, see all-log.ts.
 */
export interface EsdbClient {
  readStream(stream: string, options: EsdbReadStreamOptions): AsyncIterable<EsdbEvent>
  readAll(options: EsdbReadAllOptions): AsyncIterable<EsdbEvent>
  subscribeToStream(stream: string, options: EsdbSubscribeToStreamOptions): EsdbSubscription
  subscribeToAll(options: EsdbSubscribeToAllOptions): EsdbSubscription
}

/** What checkpoints need of the client. */
export interface EsdbCheckpointsClient extends Pick<EsdbClient, 'readStream'> {
  appendToStream(
    stream: string,
    event: EsdbEventData,
    options: EsdbAppendOptions,
  ): Promise<{ readonly success: boolean; readonly nextExpectedRevision: bigint }>
  setStreamMetadata(stream: string, metadata: { maxCount: number }): Promise<unknown>
}

/** A position in `$all`. Both offsets: a commit offset alone names several events of one transaction. */
export interface EsdbPosition {
  readonly commit: bigint
  readonly prepare: bigint
}

/** Both clients' `ResolvedEvent`. */
export interface EsdbEvent {
  /** Missing where a link's target is gone. */
  readonly event?: EsdbRecord | undefined
  readonly link?: EsdbRecord | undefined
  /** Of persistent subscriptions: how often it has been handed out before. */
  readonly retryCount?: number
}

/** Both clients' `RecordedEvent`. */
export interface EsdbRecord {
  readonly streamId: string
  readonly id: string
  readonly type: string
  readonly revision: bigint
  /** The epoch where the server did not say. */
  readonly created: Date
  readonly data: unknown
  readonly metadata?: unknown
  /** Of records in `$all` always, of a stream's from server 22.6 on. */
  readonly position?: EsdbPosition | undefined
}

/** Both clients' `jsonEvent()` makes exactly this. */
export interface EsdbEventData {
  readonly id: string
  readonly contentType: 'application/json'
  readonly type: string
  readonly data: Record<string, unknown>
  readonly metadata: undefined
}

/** Constants of both clients are plain strings. */
type EsdbDirection = 'forwards' | 'backwards'

interface EsdbReadOptions {
  readonly direction: EsdbDirection
  readonly maxCount: number
  readonly resolveLinkTos: boolean
  readonly requiresLeader: boolean
}

interface EsdbReadStreamOptions extends EsdbReadOptions {
  readonly fromRevision: bigint | 'start' | 'end'
}

interface EsdbReadAllOptions extends EsdbReadOptions {
  readonly fromPosition: EsdbPosition | 'start' | 'end'
}

interface EsdbSubscribeToStreamOptions {
  readonly fromRevision: 'end'
}

interface EsdbSubscribeToAllOptions {
  readonly fromPosition: 'end'
  readonly filter: EsdbServerFilter
}

export type EsdbServerFilter = {
  readonly filterOn: 'streamName' | 'eventType'
  readonly checkpointInterval: number
} & ({ readonly prefixes: string[] } | { readonly regex: string })

export type ExpectedRevision = bigint | 'no_stream' | 'any'

export interface EsdbAppendOptions {
  /** What `@eventstore/db-client` reads. */
  readonly expectedRevision: ExpectedRevision
  /** What `@kurrent/kurrentdb-client` reads. */
  readonly streamState: ExpectedRevision
}

/** A live subscription of either client: a `Readable`. */
export interface EsdbSubscription {
  unsubscribe(): Promise<void>
  on(event: string, listener: (...values: unknown[]) => void): unknown
  destroy(): unknown
}

/** The stream's revision that an append expects, as each client wants to be told. The other's option is ignored. */
export function expecting(revision: ExpectedRevision): EsdbAppendOptions {
  return { expectedRevision: revision, streamState: revision }
}

/** The record that stands in what is read: of a link, the link itself. */
export function originalRecord({ link, event }: EsdbEvent): EsdbRecord {
  const record = link ?? event
  if (record === undefined) throw new TypeError('expected an event or a link, found neither')
  return record
}

/**
 * Whether it is the event that ends its stream for good, which subscribers are given. Its revision, 2^63 - 1, is a mark and
 * not a place: nothing was lost below it.
 */
export function isTombstone({ type }: EsdbRecord): boolean {
  // Types that begin with `$` are the server's own.
  return type === '$streamDeleted'
}

/** To the second only where `@kurrent/kurrentdb-client` has read it: its native addon drops the rest. */
export function appendedAtMs(event: EsdbEvent): number | undefined {
  return originalRecord(event).created.getTime() || undefined
}

/**
 * Ends the call of a read that nobody waits for any more, whether or not the server has. What had come has to be read on to
 * its end all the same: destroyed or left alone, a read of `@eventstore/db-client` would stay in the client for ever, and
 * the client's `dispose()` wait for it. Nothing ends a read of `@kurrent/kurrentdb-client` before its server does.
 */
export function cancelRead(read: AsyncIterable<unknown>): void {
  if (!isReadable(read)) return
  // It emits errors of the call even now, which would end the process where nobody listens.
  read.on('error', () => {})
  read.cancel().catch(() => {})
}

/** A read of `@eventstore/db-client`, over gRPC. */
interface CancellableRead {
  cancel(): Promise<void>
  on(event: 'error', listener: (error: Error) => void): unknown
}

export function isReadable(read: object): read is CancellableRead {
  return 'cancel' in read && typeof read.cancel === 'function' && 'on' in read
}
