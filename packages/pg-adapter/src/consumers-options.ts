import { type ConsumerEventTypes, InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import type { BoundedPool, PgPool } from './client.ts'
import { parseQualifiedName, quoteName } from './identifiers.ts'
import { requirePool, requireText, resolveQueryTimeout } from './pool-options.ts'
import { boundedPool } from './query-timeout.ts'

export interface PostgresConsumersOptions {
  /** A `pg.Pool`, or anything with its `connect`. Each look takes one of its connections for one SELECT. */
  readonly pool: PgPool
  /**
   * The table, or a view of it: `emt_processors`, `sales.checkpoints`; taken as it stands, case included.
   * - Change it when: it is needed, unless there is a `query`.
   * @default none
   */
  readonly table?: string
  /**
   * A SELECT that is read in place of a table, at each look. The other options name its columns. Anything that it can do is
   * done as it says: give the pool a role that may only read.
   * - Change it when: checkpoints are not the rows of a table, as those of message-db. A preset sets it.
   * @default none
   */
  readonly query?: string
  /** The column that names the consumer, or all columns that do together: a name is their texts with `:` in between. */
  readonly consumer: string | readonly string[]
  /**
   * The column of the checkpoint: a number; a text that is one, or `transaction:position`; JSON with `index` and `gaps`. Or two
   * columns: the transaction, then the position. A consumer must not read again at or below what is stored there.
   */
  readonly checkpoint: string | readonly [transaction: string, position: string]
  /**
   * The checkpoint is a token of Axon Framework, and each segment of a processor has a row of its own: the columns of the segment
   * and of the token's class. The token may be `bytea`, a large object (`oid`) or text. A processor has passed what all of its
   * segments have.
   * - Change it when: the table is Axon's. `axon()` sets it.
   * @default none
   */
  readonly axonTokens?: { readonly segment: string; readonly type: string }
  /**
   * What a checkpoint is.
   * - `'last'`: the last position that was handled.
   * - `'next'`: the one after it, which is read next.
   * - Change it when: the consumers keep the next one, as Propulsion does.
   * @default 'last'
   */
  readonly stored?: 'last' | 'next'
  /**
   * A column that changes when a consumer is started again. Then nothing is said of what it had passed before.
   * - Change it when: the table has one, and consumers may start elsewhere than at their checkpoint.
   * @default none
   */
  readonly run?: string
  /**
   * The column with the category that a consumer reads: streams of that name, and those whose names begin with it and `-`. An event
   * of another stream is no loss of it. The source needs its option `stream`.
   * - Change it when: consumers read one category each, as those of message-db. A preset sets it.
   * @default each consumer reads all events
   */
  readonly category?: string
  /**
   * Which rows are consumers of this events table.
   * - Change it when: the table keeps other things too: bookkeeping (Marten's `HighWaterMark`), positions of single streams or of
   * another store (Eventuous). **Events would be called lost that are not.**
   * @default every row
   */
  readonly isConsumer?: (name: string) => boolean
  /**
   * The event types that consumers handle, by their names here; `'all'`: each of them. An event of another type is no loss.
   * - Change it when: you know them. Without it a finding says that the event was passed, and no more.
   * @default not known
   */
  readonly eventTypes?: ConsumerEventTypes
  /**
   * Names this place in metrics and messages: a consumer is shown as `name.consumer`.
   * - Change it when: two places have the same name.
   * @default the table's name as given; needed with a `query`
   */
  readonly name?: string
  /**
   * The longest that a look may take, and the wait for a connection of the pool.
   * - Raising it: a connection that has gone silent is noticed later.
   * - Lowering it: looks fail on a busy server.
   * - Change it when: looks fail with a `QueryTimeoutError`, or silent connections must be noticed sooner.
   * @default 30000
   */
  readonly queryTimeoutMs?: number
}

export interface ResolvedPostgresConsumersOptions {
  readonly pool: BoundedPool
  /** Quoted, or a query in parentheses: for SQL. */
  readonly from: string
  /** The same for people. */
  readonly called: string
  readonly consumer: readonly string[]
  readonly checkpoint: readonly string[]
  readonly axonTokens: { readonly segment: string; readonly type: string } | undefined
  readonly stored: 'last' | 'next'
  readonly run: string | undefined
  readonly category: string | undefined
  readonly isConsumer: (name: string) => boolean
  readonly eventTypes: ConsumerEventTypes
  readonly name: string
}

const POSTGRES_CONSUMERS_OPTIONS: Readonly<Record<keyof PostgresConsumersOptions, true>> = {
  pool: true,
  table: true,
  query: true,
  consumer: true,
  checkpoint: true,
  axonTokens: true,
  stored: true,
  run: true,
  category: true,
  isConsumer: true,
  eventTypes: true,
  name: true,
  queryTimeoutMs: true,
}

/** With every default. Throws `InvalidOptionError`. */
export function resolvePostgresConsumersOptions(
  options: PostgresConsumersOptions,
): ResolvedPostgresConsumersOptions {
  requireKnownOptions(options, POSTGRES_CONSUMERS_OPTIONS)
  const { axonTokens, stored = 'last', run, category, isConsumer = () => true, eventTypes = {} } = options
  const consumer = requireColumns('consumer', options.consumer)
  const checkpoint = requireColumns('checkpoint', options.checkpoint)
  if (checkpoint.length > 2) {
    throw new InvalidOptionError('checkpoint', 'a column, or two: transaction and position', checkpoint)
  }
  if (axonTokens !== undefined) {
    requireKnownOptions(axonTokens, { segment: true, type: true }, 'axonTokens')
    requireText('axonTokens.segment', axonTokens.segment)
    requireText('axonTokens.type', axonTokens.type)
    if (checkpoint.length > 1) {
      throw new InvalidOptionError(
        'checkpoint',
        'one column, that of the token, beside axonTokens',
        checkpoint,
      )
    }
  }
  if (stored !== 'last' && stored !== 'next') {
    throw new InvalidOptionError('stored', `'last' or 'next'`, stored)
  }
  if (run !== undefined) requireText('run', run)
  if (category !== undefined) requireText('category', category)
  if (typeof isConsumer !== 'function') throw new InvalidOptionError('isConsumer', 'a function', isConsumer)
  for (const [name, types] of Object.entries(eventTypes)) {
    if (types === 'all') continue
    if (!Array.isArray(types)) {
      throw new InvalidOptionError(`eventTypes.${name}`, `an array of event types, or 'all'`, types)
    }
    for (const type of types) requireText(`eventTypes.${name}`, type)
  }
  requirePool(options.pool)
  return Object.freeze({
    pool: boundedPool(options.pool, resolveQueryTimeout(options.queryTimeoutMs)),
    ...resolveFrom(options),
    consumer,
    checkpoint,
    axonTokens: axonTokens && Object.freeze({ ...axonTokens }),
    stored,
    run,
    category,
    isConsumer,
    eventTypes: Object.freeze({ ...eventTypes }),
    name: requireText('name', options.name ?? options.table),
  })
}

function resolveFrom({
  table,
  query,
}: PostgresConsumersOptions): Pick<ResolvedPostgresConsumersOptions, 'from' | 'called'> {
  if (query === undefined) {
    const from = quoteName(parseQualifiedName('table', table))
    return { from, called: from }
  }
  if (table !== undefined) throw new InvalidOptionError('query', 'a query, or a table, not both', query)
  return { from: `(${requireText('query', query)}) q`, called: 'what the option query reads' }
}

function requireColumns(option: string, columns: string | readonly string[]): readonly string[] {
  if (Array.isArray(columns) && columns.length > 0) {
    return columns.map((column) => requireText(option, column))
  }
  return [requireText(option, columns)]
}
