import { type ErrorJson, errorJson } from './json.ts'

/**
 * Every error of Tidemark has a stable `code`, which also tells errors apart across two installed copies, where
 * `instanceof` does not.
 */
export abstract class TidemarkError extends Error {
  abstract readonly code: string
  override get name(): string {
    return this.constructor.name
  }
  /** What `JSON.stringify` writes: the error with its stack, its fields and its causes. */
  toJSON(): ErrorJson {
    return errorJson(this)
  }
}

/** An option has a value that cannot work. Thrown at construction, before anything runs. */
export class InvalidOptionError extends TidemarkError {
  readonly code = 'TIDEMARK_INVALID_OPTION'
  readonly option: string
  constructor(option: string, expected: string, found: unknown) {
    super(`${option}: expected ${expected}, found ${describe(found)}`)
    this.option = option
  }
}

/** The checkpoint store lacks what an option needs. Thrown at construction, before anything runs. */
export class UnsupportedByStoreError extends TidemarkError {
  readonly code = 'TIDEMARK_UNSUPPORTED_BY_STORE'
  readonly option: string
  readonly store: string
  /** The part of `CheckpointStore` that is missing. */
  readonly missing: string
  constructor(option: string, store: string, missing: string, why: string, instead: string) {
    super(`${option}: ${store} has no \`${missing}\`, and ${why}; ${instead}`)
    this.option = option
    this.store = store
    this.missing = missing
  }
}

/** The store is not the one that a poll or a page came from (restart, crash, failover, replaced sequence). */
export class IncarnationChangedError extends TidemarkError {
  readonly code = 'TIDEMARK_INCARNATION_CHANGED'
  readonly expected: string
  readonly found: string
  constructor(expected: string, found: string) {
    super(
      `the store changed its incarnation from ${expected} to ${found}; what was learned before is dropped and polled anew`,
    )
    this.expected = expected
    this.found = found
  }
}

/** A poll has found what it cannot judge without what checkpoint stores remember: the caller reads that, and polls again. */
export class ProgressNeededError extends TidemarkError {
  readonly code = 'TIDEMARK_PROGRESS_NEEDED'
  constructor() {
    super('this poll needs what the checkpoint store remembers; it is read, and the store is polled again')
  }
}

/**
 * The store stands behind what was already processed (backup restored, sequence set back, other server). Positions
 * would be handed out twice, so Tidemark halts and leaves the decision to the operator.
 */
export class StoreRewoundError extends TidemarkError {
  readonly code = 'TIDEMARK_STORE_REWOUND'
}

/** Another owner moved the checkpoint, or is working on it at this moment. */
export class CheckpointConflictError extends TidemarkError {
  readonly code = 'TIDEMARK_CHECKPOINT_CONFLICT'
  readonly projection: string
  constructor(projection: string, detail: string) {
    super(`projection "${projection}": ${detail}; this daemon stands by`)
    this.projection = projection
  }
}

/** An operator has paused the projection: its checkpoint stays where it is until an operator resumes it. */
export class ProjectionPausedError extends TidemarkError {
  readonly code = 'TIDEMARK_PROJECTION_PAUSED'
  readonly projection: string
  readonly who: string
  readonly why: string
  /** By the clock of the checkpoint store; 0 where it does not know. */
  readonly sinceMs: number
  constructor(
    projection: string,
    decision: { readonly who: string; readonly why: string; readonly sinceMs: number },
  ) {
    const { who, why, sinceMs } = decision
    const since = sinceMs === 0 ? '' : ` since ${new Date(sinceMs).toISOString()}`
    super(
      `projection "${projection}" is paused by ${who}${since} (${why}); it stays paused ` +
        'until it is resumed (createOperations(...).resume)',
    )
    this.projection = projection
    this.who = who
    this.why = why
    this.sinceMs = sinceMs
  }
}

/** An operation does not fit what there is: a name, a version, a position or a state. Nothing was changed. */
export class OperationRefusedError extends TidemarkError {
  readonly code = 'TIDEMARK_OPERATION_REFUSED'
  readonly projection: string
  constructor(projection: string, found: string) {
    super(`projection "${projection}": ${found}; nothing was changed`)
    this.projection = projection
  }
}

/** No node of that name or id is there. Nothing was changed. */
export class NodeUnknownError extends TidemarkError {
  readonly code = 'TIDEMARK_NODE_UNKNOWN'
  readonly node: string
  /** @param names - of those that are there */
  constructor(node: string, names: readonly string[]) {
    const there =
      names.length === 0
        ? 'there is none at all'
        : `there are ${names.map((name) => JSON.stringify(name)).join(', ')}`
    super(`node ${JSON.stringify(node)}: no node has that name or id; ${there}; nothing was changed`)
    this.node = node
  }
}

/** An operation has waited too long for the batch at hand. Nothing was changed. */
export class CheckpointBusyError extends TidemarkError {
  readonly code = 'TIDEMARK_CHECKPOINT_BUSY'
  readonly projection: string
  /** @param holder - who has the checkpoint, and what ends that, in the store at hand */
  constructor(projection: string, timeoutMs: number, holder: string) {
    super(
      `projection "${projection}": its checkpoint was locked for ${timeoutMs} ms by ${holder}; nothing was changed: ask ` +
        'again, with a longer timeoutMs where its batches take that long',
    )
    this.projection = projection
  }
}

/** What was asked of the node that runs a projection is not carried out yet. It stays asked for. */
export class OperationPendingError extends TidemarkError {
  readonly code = 'TIDEMARK_OPERATION_PENDING'
  readonly projection: string
  /** @param where - what is in the way, as far as that is known */
  constructor(projection: string, operation: string, timeoutMs: number, where = '') {
    super(
      `projection "${projection}": its ${operation} was not carried out within ${timeoutMs} ms${where}. It stays asked for, and the next ` +
        'daemon that has the projection does it: see that one runs, and what it logs. Ask again to wait for it, or cancel it',
    )
    this.projection = projection
  }
}

/** The checkpoint of this name belongs to another source. */
export class ProjectionSourceError extends TidemarkError {
  readonly code = 'TIDEMARK_PROJECTION_SOURCE'
  readonly projection: string
  /** @param orElse - what else to do than to choose another name, in the store at hand */
  constructor(projection: string, stored: string, source: string, orElse = '') {
    super(
      `projection "${projection}" has a checkpoint of the source "${stored}", and now reads "${source}": ` +
        `choose another name for it${orElse}`,
    )
    this.projection = projection
  }
}

/** A projection is stored in other shards than the one that was to be opened. */
export class ShardsStoredError extends TidemarkError {
  readonly code = 'TIDEMARK_SHARDS_STORED'
  readonly projection: string
  /** @param stored - the slots of the shards that are stored, and `wanted` those of the one that was to be opened */
  constructor(projection: string, stored: readonly string[], wanted: string) {
    const told = `${stored.length} (slots ${stored.slice(0, 8).join(', ')}${stored.length > 8 ? ', ...' : ''})`
    super(
      `projection "${projection}": its stored shards are ${told}, and slots ${wanted} are none of them, so they are not handled: events would ` +
        'be missed or handled twice. A daemon works on the shards that are stored where it knows the key of events: give the ' +
        'projection shardBy or keyOf, the same key as before, or make it one shard again by createOperations(...).reshard',
    )
    this.projection = projection
  }
}

/** An event could not be turned into what handlers expect. */
export class EventMappingError extends TidemarkError {
  readonly code = 'TIDEMARK_EVENT_MAPPING'
  readonly position: string
  /** Where the source knows it. */
  readonly eventType: string | undefined
  /** How many events share that position, this one included: they are handled together, or not at all. */
  readonly events: number
  constructor(position: string, cause: unknown, eventType?: string, events = 1) {
    super(`the event at position ${position} could not be mapped: ${messageOf(cause)}`, { cause })
    this.position = position
    this.eventType = eventType
    this.events = events
  }
}

/** A handler committed or rolled back the transaction that it was given, so its effects and the checkpoint parted. */
export class HandlerEndedTransactionError extends TidemarkError {
  readonly code = 'TIDEMARK_HANDLER_ENDED_TRANSACTION'
  readonly projection: string
  constructor(projection: string, options?: ErrorOptions) {
    super(
      `projection "${projection}": its handler ended the transaction it was given (COMMIT, ROLLBACK, PREPARE TRANSACTION or ` +
        "a statement or library that does so, as an ORM's own transaction()); use savepoints inside it, or a connection of " +
        'your own, and check what it wrote before a restart',
      options,
    )
    this.projection = projection
  }
}

/**
 * The process ended, again and again, while the events of one position were handled by themselves: out of memory,
 * `process.exit`, SIGKILL. Their handler is not called any more; `onFailure` decides.
 */
export class ProcessEndedError extends TidemarkError {
  readonly code = 'TIDEMARK_PROCESS_ENDED'
  readonly projection: string
  readonly tries: number
  readonly firstPosition: string
  readonly lastPosition: string
  constructor(
    projection: string,
    { firstPosition, lastPosition }: { readonly firstPosition: string; readonly lastPosition: string },
    tries: number,
  ) {
    super(
      `projection "${projection}": the process ended ${tries === 1 ? 'once' : `${tries} times`} while the events of position ${firstPosition} ` +
        'were handled by themselves, without a clean stop; look at its exit status, and for a process.exit, a crash of native ' +
        'code or a memory limit in what the handler does with them',
    )
    this.projection = projection
    this.tries = tries
    this.firstPosition = firstPosition
    this.lastPosition = lastPosition
  }
}

/** A dead letter could not be written. The checkpoint stands, and its events are tried again. */
export class DeadLetterNotWrittenError extends TidemarkError {
  readonly code = 'TIDEMARK_DEAD_LETTER_NOT_WRITTEN'
  readonly projection: string
  constructor(projection: string, cause: unknown) {
    super(
      `projection "${projection}": its events cannot be skipped, their dead letter could not be written: ${messageOf(cause)}`,
      { cause },
    )
    this.projection = projection
  }
}

/** What a dead letter was about cannot be handled again: its source has none of these events for the projection any more. */
export class EventsGoneError extends TidemarkError {
  readonly code = 'TIDEMARK_EVENTS_GONE'
  readonly firstPosition: string
  readonly lastPosition: string
  constructor(firstPosition: string, lastPosition: string, source: string) {
    const at = firstPosition === lastPosition ? firstPosition : `${firstPosition} to ${lastPosition}`
    super(
      `the source "${source}" has no event of this projection at position ${at} any more: it was deleted, its type is not among ` +
        'the eventTypes, or the source stands below it; bring its effect about by hand and resolve the letter, or discard it',
    )
    this.firstPosition = firstPosition
    this.lastPosition = lastPosition
  }
}

/** `start()` was called twice, or after `stop()`. */
export class LifecycleError extends TidemarkError {
  readonly code = 'TIDEMARK_LIFECYCLE'
}

/** `waitFor` or `waitUntilProjected` can no longer be fulfilled: what it waits for has paused, halted or stopped. */
export class WaitFailedError extends TidemarkError {
  readonly code = 'TIDEMARK_WAIT_FAILED'
}

/** `waitUntilProjected`, or `waitFor` of a progress reader, took longer than its `timeoutMs`. */
export class WaitTimeoutError extends TidemarkError {
  readonly code = 'TIDEMARK_WAIT_TIMEOUT'
}

/** A subscription was wrapped a second time: everything would be counted twice. */
export class AlreadyMonitoredError extends TidemarkError {
  readonly code = 'TIDEMARK_ALREADY_MONITORED'
}

/**
 * All that was in a log is gone (truncated by its owner), so where it ends is not told before the next event. Nothing waits in
 * it. For sources of subscriptions.
 */
export class HeadUnknownError extends TidemarkError {
  readonly code = 'TIDEMARK_HEAD_UNKNOWN'
}

/**
 * A subscription began at a checkpoint that its store has not reached (restored backup, wrong cluster). The server would
 * deliver nothing until the store has grown past it, and leave out everything up to there.
 */
export class CheckpointBeyondHeadError extends TidemarkError {
  readonly code = 'TIDEMARK_CHECKPOINT_BEYOND_HEAD'
  readonly projection: string
  readonly from: string
  /** Where the store ended below the checkpoint, or the event at or below it; `undefined` in an empty store. */
  readonly head: string | undefined
  constructor(projection: string, from: string, head: string | undefined, seen: string) {
    super(
      `projection "${projection}": its checkpoint (from) is ${from}, but ${seen}; ` +
        'everything appended up to that checkpoint would be left out in silence. Check that this is the right cluster and ' +
        'stream. If the store was restored from a backup, set the checkpoint back to where the backup ended, or rebuild the ' +
        'projection',
    )
    this.projection = projection
    this.from = from
    this.head = head
  }
}

export function hasCode<C extends string>(error: unknown, code: C): error is Error & { readonly code: C } {
  return error instanceof Error && 'code' in error && error.code === code
}

/** Never empty: drivers throw errors whose message is, and a log that ends there tells nobody anything. Never throws. */
export function messageOf(error: unknown): string {
  try {
    if (!(error instanceof Error)) return String(error)
    if (typeof error.message === 'string' && error.message !== '') return error.message
    // What Node throws where a name has several addresses and none of them answers.
    if (error instanceof AggregateError && error.errors.length > 0)
      return error.errors.map(messageOf).join(', ')
    return error.constructor.name
  } catch {
    return 'an error that cannot be told'
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  if (typeof value === 'bigint') return `${value}n`
  return String(value)
}
