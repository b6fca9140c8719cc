import type { KeyOf } from '../failures/keys.ts'
import type { Decide, OnFailure } from '../failures/on-failure.ts'
import type { Effects } from '../ports/stored-unit.ts'
import type { SlotRange, Unit } from '../ports/unit.ts'
import type { Part } from '../reading/part.ts'
import type { ReplayPolicy } from './commands.ts'

/**
 * What a user defines: a name, what to read, and what to do with it.
 *
 * @typeParam E - the events that `handle` is given
 * @typeParam Tx - what the checkpoint store gives to write through
 * @typeParam Type - the types in `eventTypes`
 */
export interface Projection<E, Tx, Type extends string = string> {
  /** Names the checkpoint; renaming a projection starts it from the beginning. At most 255 characters. */
  readonly name: string
  /**
   * Another version of the projection has a checkpoint of its own, and begins at the first event: give it tables of its own.
   * While version 1 serves, version 2 fills them beside it, in this daemon or in another; then
   * `createOperations(...).switchTo` makes it the live one. Leave version 1 where it is until then: two entries of one name. Where
   * both begin in an empty store, the lowest that the daemon has is the live one.
   * Its metrics have the name `orders@2`. Needs a checkpoint store with `control`: `postgresCheckpoints`. From 1 to 2,147,483,647.
   * - Raising it: what this version writes is built anew from the first event, beside the version that is live.
   * - Lowering it: an earlier version goes on from its own checkpoint, with its own tables.
   * - Change it when: the handler has changed so that what it has written has to be built anew, and readers may not wait for
   *   that.
   * @unit version
   * @default 1
   */
  readonly version?: number
  /**
   * Handles one batch, oldest event first. With a checkpoint store that shares its transaction (`tx`), what is written
   * through `tx` and the checkpoint are committed together; anything else may happen twice after a crash. Do not end
   * the transaction. Throwing rolls it back; the batch is tried again, in halves until the event that fails is found.
   */
  readonly handle: (events: readonly E[], context: HandlerContext<Tx>) => Promise<void> | void
  /**
   * Only events of these types are handed out. Postgres leaves the others out itself; of EventStoreDB all events come over the
   * network.
   * - Change it when: the projection needs few types. Where those are rare, a page may look through many positions.
   * @default every event
   */
  readonly eventTypes?: readonly Type[]
  /**
   * Maximum events in a batch; exceeded only so as not to split events that share a position. If it is left out, a batch has fewer
   * than the default where they take more than some 100 ms to handle or some 2 MiB to read (64 MiB for all projections of a daemon,
   * if there are more than 32); the first batches have at most 100. Where even the smallest batch takes longer than 50 ms, as over
   * a long way to the server, they may take twice that. If it is given, every full batch has as many, unless that would be more than
   * 8 MiB to read (256 MiB for all projections of a daemon, if there are more than 32): then it has fewer.
   * - Raising it: more events share the cost of a transaction; it holds its locks longer, and a page takes more memory.
   * - Lowering it: shorter transactions, and less to do again after a failure; catching up is slower.
   * - Change it when: batches take longer than their locks may be held, or the handler wants as many events at once as there are.
   * @unit events
   * @default 5000
   */
  readonly batchSize?: number
  /**
   * How often the event that fails is tried before this projection is paused. The waits between two tries double from 0.2 s to
   * 20 s: 5 tries take some 3 s, 40 take ten minutes. While a batch is halved to find the event nothing counts; neither do
   * passing faults of the store, which are retried for ever. A paused projection tries the event again by itself: see
   * `longestPauseMs`. An event that ends the process is tried by itself as often, over restarts, and then not again until an
   * operator resumes it, or `onFailure` gives it up.
   * - Raising it: outages of what the handler calls raise no alert while they last; a bug in the handler pauses it later.
   * - Lowering it: a bug pauses it sooner; so does a short outage of what the handler calls.
   * - Change it when: the handler depends on something that may be away for longer than 3 s, and that need wake nobody.
   * @unit tries
   * @default 5
   */
  readonly attempts?: number
  /**
   * How long a paused projection waits, at most, before it tries the failing event again. The first waits are some 5, 10, 20 s
   * and so on up to this; one failing try pauses it again. From 1,000 to 2,147,483,647.
   * - Raising it: a bug costs fewer calls of the handler; once its cause is gone, the projection stands still for longer.
   * - Lowering it: the projection goes on sooner once the cause is gone; whatever the handler calls is called more often.
   * - Change it when: a failing call costs somebody something, or nobody may wait 5 minutes after an outage.
   * @unit ms
   * @default 300000
   */
  readonly longestPauseMs?: number
  /**
   * How long one call of `handle` may take. After that its signal fires and the connection of its transaction is destroyed:
   * whatever it does later through `tx` throws, and nothing of it is committed. The call has failed (`HandlerTimeoutError`):
   * the batch is halved, and the event that takes too long uses up `attempts`. The next try begins once the old transaction
   * has ended. In Postgres a statement that was running is ended at once, on another connection of the pool
   * (`pg_terminate_backend`, of this one transaction alone); where none is to be had within 5 s, the next try ends it. On a checkpoint store without
   * transactions the next try waits until the old call has ended, since nobody can end that; so does the dead letter of an
   * event that is given up. Give one to every handler that calls something outside of the database: ten times what its
   * slowest batch takes, and at least a minute (60000). From 1 to 2,147,483,647.
   * - Raising it: a handler that hangs holds its connection, its locks and its projection for longer.
   * - Lowering it: a slow database or a large batch is taken for a handler that hangs; it is rolled back and tried in halves.
   * - Change it when: the handler waits for something that may never answer.
   * @unit ms
   * @default none: a call may take as long as it does
   */
  readonly handlerTimeoutMs?: number
  /**
   * What becomes of the events of one position once they have failed `attempts` times. `'pause'`: the projection stands
   * still, and tries them again at growing intervals. `'skip'`: they are passed, and a dead letter in the checkpoint
   * store says where they are, what failed and how often; they are counted as skipped under `apply_error`. `'park_key'`:
   * the same, and later events of the same key (`keyOf`) follow it, each with a dead letter, and are not handled: order per
   * key holds. They are retried in order once the first is retried, resolved or discarded. What cannot be mapped has no key
   * and pauses. Or a function that looks at the failure and returns one of the three, or `'retry'`: then it is asked again
   * after the next try. It must return at once. If it throws or returns anything else, the projection is paused, and the log says so.
   * In an outage of what the handler calls, `'skip'` gives up one event after another, each after its `attempts`: return
   * `'retry'` for such errors. With `attempts: 1` it is asked from the first failure on. A handler that has ended its
   * transaction pauses it whatever is said here.
   * - Change it when: later events do not depend on earlier ones, and it is worse to stand still than to leave one out
   *   (mails, a search index). Take `'park_key'` where events of one key depend on
   *   each other and keys do not (orders, accounts). Keep `'pause'` where a missing event makes all that follows wrong.
   * @default 'pause'
   */
  readonly onFailure?: OnFailure<E>
  /**
   * For whom the handler is called. An event that is passed without a call counts as handled: nothing is to be done. Open dead
   * letters go with the role. What a handler sends outside of `tx` may be sent again after a failed try or a crash, as always.
   * `'live_only'` needs a checkpoint store with `control`: `postgresCheckpoints`.
   * - `'always'`: each version of the projection handles every event, and again where its checkpoint was moved back.
   * - `'live_only'`: only while its version is the live one, and never at a position that the live version had passed before. A
   *   rebuild, `moveTo` to a lower position, a version beside the live one and a switch send nothing twice; nobody can have
   *   something sent again on purpose.
   * - Change it when: what the handler does leaves the database (mails, calls of others), and is not to be done again when events
   *   are replayed.
   * @default 'always'
   */
  readonly effects?: 'always' | 'live_only'
  /**
   * What holds while events are replayed: below where the checkpoint stood when it was moved back (`operations.rebuild`, `moveTo`),
   * and in a version that is beside the live one. Needs a checkpoint store with `control`.
   * - Change it when: a replay takes too much of the server, or old events may be skipped that new ones may not.
   * @default none: a replay is as fast as it can be, and its failures are treated as others
   */
  readonly replay?: ReplayOptions<E>
  /**
   * Handles events that came late: at positions that the checkpoint had passed already, and that this projection was not given
   * (stale-threshold mode). They are handed over out of their order, oldest position first, between two batches, in a
   * transaction of their own: what is written through `tx` and the note that they are handled are committed together, once.
   * Throwing rolls both back. They stay open and are tried again, after 1 s, then at growing intervals up to
   * `longestPauseMs`; other events do not wait for them. A paused projection handles none. Without this option they stay open
   * until an operator calls `reprocess` or `discardLateEvents`. Needs a source in stale-threshold mode.
   * - Change it when: the projection can take an event out of order (a sum, a search index), and no operator is to be needed.
   * @default none: late events stay open
   */
  readonly onLateEvent?: (events: readonly E[], context: HandlerContext<Tx>) => Promise<void> | void
  /**
   * What events that belong together have in common, as the id of an order: a text of 1 to 1,000 characters. Needed by
   * `'park_key'`, and read in each batch then, with one statement more that looks which keys are parked. With `shards` and no
   * `shardBy` it says to which shard an event belongs; an event without a key then stops every shard. Keep it for as long as
   * dead letters of keys are open, whatever `onFailure` is: without it their later events are handled before them. If it throws,
   * or returns something else, or several keys for events that share a position, that is a failure of the handler; with
   * `'park_key'` it pauses.
   * - Change it when: `onFailure` is or may return `'park_key'`, or `shards` is more than 1 and no column has the key.
   * @default none: no event is parked
   */
  readonly keyOf?: (event: E) => string
  /**
   * Cuts the projection into that many shards, each with a checkpoint, transactions and failures of its own, so that several batches
   * of it are handled at once: in this process, and in others that run the same projection. An event belongs to a shard by the hash
   * of its key, so events of one key are handled in their order, one after another; between keys there is no order. The key is the
   * column that `shardBy` names, or else what `keyOf` returns. It holds for a projection that has no checkpoint yet. From then on
   * each daemon runs the shards that are stored, whatever their number here; `operations.reshard` changes them while daemons run. Needs
   * a checkpoint store with `control`, and a source that proves what it passes; goes without `version` and `onSwitch`. From 1 to 1,024.
   * - Raising it: more batches at once, each with a connection; a projection whose handler waits is that much faster, until the
   *   connections or the server are used up.
   * - Lowering it: fewer connections, and fewer transactions for the same events.
   * - Change it when: one batch after another is too slow, the events have a key, and their order matters within it alone.
   * @unit shards
   * @default 1
   */
  readonly shards?: number
  /**
   * The column of the source's table that has the key of an event, for `shards`: of type `text`, `varchar`, `uuid`, `smallint`,
   * `integer` or `bigint`. The server compares it, so that a shard reads its own events alone. Events without a key (NULL) are the
   * first shard's. Where `keyOf` is given too, events of one such key need to have one value here. Never change it for a
   * projection in shards: events would be missed or handled twice.
   * - Change it when: the projection is in shards, or may be one day, and a column has what the order of events depends on, as the
   *   id of their stream.
   * @default none: with `keyOf`, each shard reads every event and leaves out what is not its own
   */
  readonly shardBy?: string
  /**
   * Lets the daemons change the number of shards by themselves, from 1 to `max`. The shard that is furthest behind is cut into two where it
   * has lagged for half a minute, would not catch up within a minute, and a node has room: one of which nothing lags, or one whose
   * handlers wait more than they work. Cuts are a minute apart. A half that is no faster than its whole was, as with one key that has most of the
   * events, is not cut again. Two shards become one when none has lagged for ten minutes and half of their pace would do. Nothing is
   * changed while the projection is paused, while something is asked of it, or where `operations.reshard` would be refused. Each change has an
   * audit entry by `autoShard` with its figures. What an operator has cut is changed in the same way later on. `shards` says how many there are at first. Needs what
   * more than one shard needs, a checkpoint store that changes shards, and a source whose positions can be counted: Postgres.
   * - Change it when: the load of the projection comes and goes, and nobody is to look after the number of its shards.
   * @default none: the shards stay as they are until `operations.reshard` changes them
   */
  readonly autoShard?: AutoShardOptions
  /**
   * Clears what the handler has written, for a rebuild in place (`operations.rebuild`): the tables are emptied and the
   * checkpoint begins anew in one transaction, through `tx`. Do not end the transaction. What it throws rolls that back, and ends
   * the rebuild: whoever asked for it gets the error. Of a projection in shards it is called once for all of them, and has to clear what all of them have written. `handlerTimeoutMs` does not bound it; its signal fires when the daemon's
   * `stop()` has waited `drainTimeoutMs`. Needs a checkpoint store with `control`.
   * - Change it when: what the handler writes can be made anew from the events.
   * @default none: `operations.rebuild` is refused for this projection
   */
  readonly reset?: (tx: Tx, context: ResetContext) => Promise<void> | void
  /**
   * Lets readers use what this version writes: it renames tables, or replaces a view, through `tx`. It is called when this version
   * becomes the live one (`operations.switchTo`), in the transaction that changes the roles, with both versions at one position.
   * The version that was live goes on with its own tables: after a rename its handler has to find them by their new names. Give
   * the earlier version one too, so that it can be switched back to. Do not end the transaction. What it throws rolls everything
   * back, and ends the switch: whoever asked for it gets the error. `handlerTimeoutMs` does not bound it, and both versions stand
   * still meanwhile: set a `lock_timeout` before DDL. Needs a checkpoint store with `control`.
   * - Change it when: there are two versions, and readers find their tables by a name that both share.
   * @default none: only the roles change
   */
  readonly onSwitch?: (tx: Tx, context: SwitchContext) => Promise<void> | void
}

export interface AutoShardOptions {
  /**
   * How many shards there are at most. From 2 to 1,024.
   * - Raising it: a greater load is kept up with; each shard at work takes up to two connections.
   * - Lowering it: fewer connections and transactions; under a greater load the projection lags.
   * - Change it when: the pool, the server, or what the handler calls takes more batches at once, or fewer.
   * @unit shards
   */
  readonly max: number
}

export interface ReplayOptions<E> {
  /**
   * How many events a second are handled at most by each process that replays. They come in small batches, with waits in between.
   * - Raising it: the replay is over sooner, and takes more of the server.
   * - Lowering it: the server has more left for others. Each batch is smaller, down to one event.
   * - Change it when: what is live gets slower while a replay goes on.
   * @unit events per second
   * @default none: as fast as it can
   */
  readonly maxEventsPerSecond?: number
  /**
   * As `onFailure` of the projection, for events that are replayed.
   * - Change it when: old events that fail are not to stop a replay, and new ones are to pause the projection; or the other way round.
   * @default the projection's
   */
  readonly onFailure?: OnFailure<E>
  /**
   * As `attempts` of the projection, for events that are replayed.
   * - Raising it: an outage of what the handler calls stops a replay for less long.
   * - Lowering it: events that fail for good are found sooner.
   * - Change it when: many old events fail.
   * @unit tries
   * @default the projection's
   */
  readonly attempts?: number
}

export interface SwitchContext {
  /** The version that was live; `undefined` where there was none. */
  readonly from: number | undefined
  /** This version. */
  readonly to: number
  /** Fires when nobody waits any more: what is done after that is rolled back. */
  readonly signal: AbortSignal
}

export interface ResetContext {
  /** Fires when nobody waits any more: what is done after that is rolled back. */
  readonly signal: AbortSignal
}

export interface HandlerContext<Tx> {
  readonly tx: Tx
  /**
   * Fires when this call has taken `handlerTimeoutMs`, and when the daemon's `stop()` has waited `drainTimeoutMs`: what is done
   * after that is rolled back.
   */
  readonly signal: AbortSignal
}

/** A projection, or one shard of it (`inSlots`). */
export interface ResolvedProjection<E, Tx> {
  /** What people are told of it: see `unitName`. */
  readonly name: string
  /** The `projection_name` of its metrics, which all shards share: see `versionName`. */
  readonly series: string
  readonly unit: Unit
  /** Whether the daemon has an earlier version of it too. */
  readonly isLaterVersion: boolean
  /** Those of the whole projection where it is first made. */
  readonly shards: readonly SlotRange[]
  readonly shardBy: string | undefined
  /** `undefined`: they are changed by operators alone. */
  readonly autoShard: AutoShardOptions | undefined
  /** Which events are its own; `undefined` where it is no shard among others. */
  readonly part: Part<E> | undefined
  readonly handle: Projection<E, Tx>['handle']
  readonly eventTypes: readonly string[] | undefined
  readonly batchSize: number
  /** Otherwise a page has as many events, up to that, as are handled in a short time. In either case no more than fit in memory. */
  readonly isSizeGiven: boolean
  readonly attempts: number
  readonly longestPauseMs: number
  readonly handlerTimeoutMs: number | undefined
  readonly decide: Decide
  /** What holds in its stead while events are replayed; `undefined`: nothing does. */
  readonly replaying: ReplayPolicy | undefined
  readonly effects: Effects
  readonly onLateEvent: Projection<E, Tx>['handle'] | undefined
  /** Whether events may be given up. */
  readonly maySkip: boolean
  readonly keyOf: KeyOf<E> | undefined
  readonly reset: Projection<E, Tx>['reset'] | undefined
  readonly onSwitch: Projection<E, Tx>['onSwitch'] | undefined
}
