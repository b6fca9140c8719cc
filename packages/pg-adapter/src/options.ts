import type { BoundedPool, PgPool } from './client.ts'
import type { QualifiedName } from './identifiers.ts'

/** A row as node-postgres returns it, its position column as `bigint`. */
export type PostgresRow = Readonly<Record<string, unknown>>

export interface PostgresEventsOptions<E = PostgresRow, K extends PropertyKey = PropertyKey> {
  /**
   * A `pg.Pool`, or anything with its `connect`. Polls take one of its connections at a time, and so does each page. A pool of
   * its own keeps the application's requests from waiting behind a daemon that catches up.
   */
  readonly pool: PgPool
  /**
   * `events`, `sales.events` or `"Quoted"."Names"`; taken as it stands, case included. Without a schema it is the table
   * that the search path finds at the first poll, and stays that one.
   */
  readonly table: string
  /**
   * The column filled by the sequence.
   * - Change it when: it has another name. It has to order all events of the table.
   * @default 'position'
   */
  readonly position?: string
  /**
   * The sequence from which writers take the numbers, where the position has neither a default nor an identity: the writers
   * call `nextval` themselves, as Marten and Hibernate do. `schema.sequence`; without a schema, the one in the schema of the table.
   * **What nothing can check then**: that every insert takes its number from this sequence, in the transaction that inserts it.
   * - Change it when: the start says that the position has no default, and you know that all writers do so. If one of them
   * takes its numbers elsewhere or earlier, its events may be passed and lost.
   * @default the sequence of the default or identity; a table without one is refused
   */
  readonly sequence?: string
  /**
   * The columns to read besides `position`, `eventType` and `appendedAt`, which are always read.
   * - Change it when: rows have large columns that no handler needs: they are then not read, sent or parsed.
   * @default every column
   */
  readonly columns?: readonly string[]
  /**
   * The column that holds the event's type. With it projections may filter by `eventTypes`, placeholders are left out, and
   * messages name types.
   * - Change it when: the table has one. It costs the transfer of one column.
   * @default none
   */
  readonly eventType?: string
  /**
   * Types of rows that fill the number of a failed append on purpose, and are no events: Marten writes `tombstone`,
   * Eventuous `$tombstone`. They are never handed to a handler. Needs `eventType`.
   * - Change it when: one of the two is a type of your own events (leave it out), or your writers have another (add it).
   * @default ['tombstone', '$tombstone'], where `eventType` is set
   */
  readonly placeholderTypes?: readonly string[]
  /**
   * Columns, and what they are equal to in the rows that are events of this source: `{ tenant_id: 'acme' }`. All other rows are
   * somebody else's: no handler gets them, and they are no gaps and no late events. A row with NULL there is one of them.
   * **What a row has there must never change**: an event that comes to fulfil it below the mark is never handed over.
   * - Change it when: the table has the events of several tenants, or archived ones, and the projections want one kind. Where
   * few rows are events of this source, pages are slow without an index on these columns and then the position.
   * @default every row
   */
  readonly where?: Readonly<Record<string, string | number | bigint | boolean>>
  /**
   * The column with the time at which an event was appended, by the database's clock, for lag and delay in seconds. It is
   * of type `timestamptz`; a `timestamp` without time zone needs the zone that its times are in, as in
   * `{ column: 'time', timeZone: 'UTC' }`. NULL and infinity are unknown times. Without this option lag counts from when
   * this process first saw that an event waits.
   * - Change it when: the table has such a column. It costs the transfer of one column.
   * @default none
   */
  readonly appendedAt?: string | { readonly column: string; readonly timeZone: string }
  /**
   * The column (`xid8`, or an integer) with the transaction that appended the event. A watch compares checkpoints with it that are
   * a pair of transaction and position; without it nothing is said of such consumers. A projection does not read it.
   * - Change it when: the source is for a watch, and consumers keep such pairs, as those of Emmett 0.43. A preset sets it.
   * @default none
   */
  readonly transaction?: string
  /**
   * The column with the name of the event's stream. A watch needs it where consumers read one category of streams each; without it
   * such a consumer is accused of nothing. A projection does not read it for itself.
   * - Change it when: the source is for a watch, and the consumers have a `category`, as those of message-db. A preset sets it.
   * @default none
   */
  readonly stream?: string
  /**
   * Makes an event of a row. Throwing pauses the projection after its attempts.
   * - Change it when: handlers want something else than the row, as a parsed event. It runs once for each row of each page.
   * @default the row itself
   */
  readonly mapRow?: (row: PostgresRow, position: bigint) => E
  /**
   * The field that has the type, of the events that `mapRow` makes. With `eventTypes` a handler is given these of their union
   * alone. For the types of TypeScript; nothing is read from the field. It has to say the same as the column `eventType`.
   * - Change it when: the events are a union, told apart by such a field.
   * @default none
   */
  readonly typeField?: K & keyof E
  /**
   * Names this store in checkpoints and metrics.
   * - Change it when: the table is renamed (give the old name, or every checkpoint is refused), or two have the same name. Under
   * a name of your own a changed `where` is not noticed: what was passed under the old one stays passed.
   * @default the table's name as given, and `where`: `events[tenant_id=acme]`
   */
  readonly name?: string
  /**
   * Where writers take the number of an event.
   * - `'in-transaction'`: in the transaction that inserts it.
   * - `'taken-ahead'`: before that transaction, or outside of it: Marten in append mode Rich, a hi/lo allocator, positions that
   * writers choose. Until the transaction begins, nothing in the database shows that a number is out. So no proof is possible,
   * and `highWater` is `{ mode: 'stale-threshold' }`. A gap is then passed when it is older than `thresholdMs`, and no transaction
   * of this database is open that began before it was. An event is passed too early only if its transaction begins more than
   * `thresholdMs` after its number was taken: it is counted, and found as a late event. A transaction that stays open holds up the mark.
   * - Change it when: one writer of the table does so, if only sometimes. **In proof mode its events are passed, and not all of
   * them are noticed.**
   * @default 'in-transaction'
   */
  readonly numbers?: 'in-transaction' | 'taken-ahead'
  /**
   * How gaps in the numbers are passed.
   * - `{ mode: 'proof' }`: never passes a gap that may still be filled. A transaction that stays open holds up the mark.
   * - `{ mode: 'stale-threshold', thresholdMs, lateEventWindowMs }`: a gap older than `thresholdMs` (default 3000, Marten's) is
   * skipped and counted, and no projection waits for its events. Open transactions are waited for with `numbers: 'taken-ahead'`
   * alone. Raising it: fewer are missed, and each gap holds up the mark
   * for longer. Lowering it: the mark follows sooner, and more are missed. What was skipped is looked at again for
   * `lateEventWindowMs` (default 600000: 10 minutes, longer than a transaction should be open): an event that is found there is
   * a late event, counted and kept for `onLateEvent` and `operations.reprocess`. Raising it: events of longer transactions are found; each
   * look takes longer. Lowering it: cheaper, and **what comes later still is lost**.
   * - Change it when: the table cannot be proven and no transaction may hold up the mark, or the default threshold does not fit.
   * @default { mode: 'proof' }; `{ mode: 'stale-threshold' }` with `numbers: 'taken-ahead'`
   */
  readonly highWater?:
    | { readonly mode: 'proof' }
    | {
        readonly mode: 'stale-threshold'
        readonly thresholdMs?: number
        readonly lateEventWindowMs?: number
      }
  /**
   * Accept a table without an index led by the position.
   * - `true`: every page reads the whole table.
   * - Change it when: the table is small and must not be changed.
   * @default false
   */
  readonly allowMissingIndex?: boolean
  /**
   * How polls learn that something was appended, while nothing is. A hint only: where it fails, polling alone goes on, the log
   * says so once, and it is tried again.
   * - `'wait'`: one connection of the pool stays with it. A statement of one second looks at the sequence again and again, every 3 ms
   * after an event, every 100 ms after minutes without one, and tells when a number was handed out. Between two looks it commits. Needs
   * the right to use PL/pgSQL, and a pool that has two connections left beside it.
   * - `{ listen: channel }`: the same connection listens for what your writers NOTIFY, after each append. Needs a connection of its own
   * to the server: through a pooler in transaction mode nothing arrives, which is noticed. NOTIFY makes commits wait for each other.
   * - `'none'`: an event after a quiet time waits for `pollIntervalMs` at most.
   * - Change it when: the pool has no connection to spare, writers notify already, or the looks are too many commits for you.
   * @default 'wait'
   */
  readonly wakeUps?: WakeUpsOption
  /**
   * The longest that a statement of a poll or a page may take, and the wait for a connection of the pool. The server ends the
   * statement then (`statement_timeout`, for these alone); a second later it is given up here too, and its connection is
   * destroyed, in case that it has gone silent. A page that takes longer, as one for rare `eventTypes` may, is asked for again
   * in smaller parts.
   * - Raising it: a connection that has gone silent is noticed later.
   * - Lowering it: slow pages are parted more often; below what a poll takes on your server, the mark stands still.
   * - Change it when: polls fail with a `QueryTimeoutError` on a busy server, or silent connections must be noticed sooner.
   * @default 30000
   */
  readonly queryTimeoutMs?: number
}

/** See `PostgresEventsOptions.wakeUps`. */
export type WakeUpsOption = 'wait' | 'none' | { readonly listen: string }

export interface ResolvedPostgresEventsOptions<E> {
  readonly pool: BoundedPool
  readonly table: QualifiedName
  readonly position: string
  /** Of a position without a default. */
  readonly sequence: QualifiedName | undefined
  readonly columns: readonly string[] | undefined
  readonly eventType: string | undefined
  readonly placeholderTypes: readonly string[]
  /** Columns and what they have to be equal to, as text. */
  readonly where: Readonly<Record<string, string>>
  readonly appendedAt: AppendedAt | undefined
  readonly mapRow: (row: PostgresRow, position: bigint) => E
  readonly name: string
  /** Numbers are taken outside the transaction that inserts them. */
  readonly isTakenAhead: boolean
  /** `undefined` in proof mode. */
  readonly staleThreshold: { readonly thresholdMs: number; readonly lateEventWindowMs: number } | undefined
  readonly allowMissingIndex: boolean
  /** Of a source that is watched, not read; its positions may be NULL, since nothing is read by them. */
  readonly watched: WatchedColumns | undefined
  readonly wakeUps: WakeUpsOption
  /** Quoted, for SQL. */
  readonly sql: { readonly table: string; readonly position: string }
}

/** What is read of watched rows besides position and type. */
interface WatchedColumns {
  /** The column with the transaction that appended the row. */
  readonly transaction: string | undefined
  /** The column with the name of its stream. */
  readonly stream: string | undefined
  readonly traceContext: TraceColumn | undefined
}

/** Where a row says which trace appended it. */
export type TraceColumn =
  | string
  | { readonly column: string; readonly key: string }
  | { readonly column: string; readonly traceId: string; readonly spanId: string }

export interface AppendedAt {
  readonly column: string
  /** Of a `timestamp` without time zone; `undefined` for a `timestamptz`. */
  readonly timeZone: string | undefined
}

/**
 * position: what most event tables call it; thresholdMs: Marten's; lateEventWindowMs: longer than a transaction of an
 * application should be open; placeholderTypes: Marten's and Eventuous's.
 */
export const POSTGRES_EVENTS_DEFAULTS: {
  readonly position: string
  readonly thresholdMs: number
  readonly lateEventWindowMs: number
  readonly placeholderTypes: readonly string[]
} = Object.freeze({
  position: 'position',
  thresholdMs: 3_000,
  lateEventWindowMs: 600_000,
  placeholderTypes: Object.freeze(['tombstone', '$tombstone']),
})
