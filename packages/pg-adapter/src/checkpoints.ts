import {
  type Advanced,
  type AdvanceRequest,
  type AdvanceWork,
  CheckpointConflictError,
  type CheckpointStore,
  type Control,
  type DeadLetters,
  type Failures,
  type FirstStart,
  inOtherShards,
  isSameSlots,
  type LateEvents,
  type Leases,
  type LostEvents,
  type OpenedCheckpoint,
  ProjectionSourceError,
  requireKnownOptions,
  type SettledMemory,
  type SkipLedger,
  type StoredProgress,
  type StoredUnit,
  type Tenures,
  type Unit,
  type UnitFilter,
  unitName,
  type VersionProgress,
} from '@tidemark/core/adapter'
import { advanceCheckpoint } from './advance.ts'
import {
  filterSql,
  insertSql,
  keepHeadSql,
  progressSql,
  selectSql,
  shardsSql,
  textOf,
  toLastDecided,
  toProgress,
  toRole,
  toStoredUnit,
  toUnit,
  versionSql,
} from './checkpoint-rows.ts'
import {
  type CheckpointTables,
  checkpointTables,
  isUnitSql,
  type Query,
  type Row,
} from './checkpoint-tables.ts'
import {
  type BoundedPool,
  type PgCallbackPool,
  type PgClient,
  type PgPool,
  withConnection,
} from './client.ts'
import { PostgresControl } from './control.ts'
import { deadLetters } from './dead-letters.ts'
import { failures } from './failures.ts'
import { quoteLiteral } from './identifiers.ts'
import { lateEvents } from './late-events.ts'
import { leases } from './leases.ts'
import { lostEvents } from './lost-events.ts'
import { migrate } from './migrations/migrate.ts'
import { explaining, type OperatorQueries, operatorQueries } from './operator-errors.ts'
import { requirePool, requireText, resolveQueryTimeout } from './pool-options.ts'
import { boundedClient, boundedPool } from './query-timeout.ts'
import { readAlone } from './read-alone.ts'
import { KnownBackends } from './server/backends.ts'
import { parseIncarnation } from './server/incarnation.ts'
import { settledMemory } from './settled-memory.ts'
import { skipLedger } from './skip-ledger.ts'
import { tenures } from './tenures.ts'
import { transact } from './transaction.ts'
import { isTransientPostgresError } from './transience.ts'
import { UnendedTransactions } from './unended-transactions.ts'

export interface PostgresCheckpointsOptions<C extends PgClient = PgClient> {
  /**
   * A `pg.Pool`, or anything with its `connect`. Each running batch holds one of its connections, and so does each page
   * that is read ahead: half the number of projections, and at least 4, are enough. Never 1.
   */
  readonly pool: PgPool<C> | PgCallbackPool<C>
  /**
   * Where Tidemark's own tables are; made where they are missing.
   * - Change it when: the role may not make a schema, or several applications share a database.
   * @default 'tidemark'
   */
  readonly schema?: string
  /**
   * The longest that a statement of Tidemark's own may take, and the wait for a connection of the pool. The server ends the
   * statement then (`statement_timeout`, for these alone); a second later it is given up here too, and its connection is
   * destroyed, in case that it has gone silent. A COMMIT that waits for synchronous standbys is given up here alone, goes on,
   * and is waited for. What a handler asks through `tx` is its own business (`statement_timeout`, `query_timeout`).
   * - Raising it: a connection that has gone silent is noticed later, and its projection stands still until then.
   * - Lowering it: a busy server or pool fails batches that would have gone well.
   * - Change it when: checkpoints fail with a `QueryTimeoutError` on a busy server, or silence must be noticed sooner.
   * @default 30000
   */
  readonly queryTimeoutMs?: number
}

const POSTGRES_CHECKPOINTS_OPTIONS: Readonly<Record<keyof PostgresCheckpointsOptions, true>> = {
  pool: true,
  schema: true,
  queryTimeoutMs: true,
}

/**
 * Checkpoints in Postgres: a handler gets the connection of the transaction that moves its checkpoint, so that what it
 * writes there happens exactly once. Its tables are made by `prepare()`, which the daemon calls; print
 * `postgresCheckpointsSql()` to make them yourself.
 *
 * @typeParam C - the connection that handlers get: what `pool.connect()` gives, a `pg.PoolClient` of a `pg.Pool`
 */
export function postgresCheckpoints<C extends PgClient = PgClient>(
  options: PostgresCheckpointsOptions<C>,
): CheckpointStore<C> {
  requireKnownOptions(options, POSTGRES_CHECKPOINTS_OPTIONS)
  requirePool(options.pool)
  return new PostgresCheckpoints(
    options.pool,
    requireText('schema', options.schema ?? 'tidemark'),
    resolveQueryTimeout(options.queryTimeoutMs),
  )
}

class PostgresCheckpoints<C extends PgClient> implements CheckpointStore<C> {
  readonly name = 'postgresCheckpoints'
  readonly isTransactional = true
  readonly settled: SettledMemory
  readonly skips: SkipLedger
  readonly control: Control<C>
  readonly deadLetters: DeadLetters<C>
  readonly lateEvents: LateEvents<C>
  readonly lostEvents: LostEvents
  readonly tenures: Tenures
  readonly leases: Leases
  readonly failures: Failures
  /** Gives connections as handlers get them. */
  readonly #pool: BoundedPool<C>
  readonly #ownPool: BoundedPool
  readonly #schema: string
  readonly #unended: UnendedTransactions
  readonly #tables: CheckpointTables
  /** Of what operators ask too, from a process that has prepared nothing. */
  readonly #operatorQueries: OperatorQueries
  readonly #backends = new KnownBackends()
  readonly #moves = { areKept: true }
  #systemIdentifier: string | undefined

  constructor(pool: PgPool<C>, schema: string, queryTimeoutMs: number) {
    this.#pool = { connect: () => pool.connect(), pool, queryTimeoutMs }
    this.#ownPool = boundedPool(pool, queryTimeoutMs)
    this.#unended = new UnendedTransactions(this.#ownPool)
    this.#schema = schema
    this.#tables = checkpointTables(schema)
    const query: Query = (sql, signal) => this.#query(sql, signal)
    this.settled = settledMemory(query, this.#tables)
    this.#operatorQueries = operatorQueries(query, this.#tables)
    this.skips = skipLedger(query, this.#operatorQueries.reads, this.#tables)
    this.control = new PostgresControl({
      pool: this.#ownPool,
      handlersPool: this.#pool,
      query: this.#operatorQueries.reads,
      tables: this.#tables,
      unended: this.#unended,
      backendsOf: (incarnation, signal) => this.#backendsOf(incarnation, signal),
    })
    this.tenures = tenures({ pool: this.#ownPool, query, tables: this.#tables, unended: this.#unended })
    this.leases = leases({
      pool: this.#ownPool,
      query,
      operatorQueries: this.#operatorQueries,
      tables: this.#tables,
    })
    this.deadLetters = deadLetters(this.#operatorQueries, this.#tables, queryTimeoutMs)
    const [queries, tables] = [this.#operatorQueries, this.#tables]
    this.lateEvents = lateEvents({ query, operatorQueries: queries, tables, queryTimeoutMs })
    this.lostEvents = lostEvents(query, queries.reads, tables)
    this.failures = failures(query, queries.reads, tables)
  }

  prepare(signal: AbortSignal): Promise<void> {
    return migrate(this.#ownPool, this.#schema, signal)
  }

  async open(unit: Unit, first: FirstStart, signal: AbortSignal): Promise<OpenedCheckpoint> {
    const { source, head } = first
    let row = await this.#readRow(unit, signal)
    // Once more where another version was made live meanwhile: now it is seen.
    for (let tries = 0; row === undefined && tries < 2; tries++) {
      await this.#query(insertSql(this.#tables, unit, first), signal)
      row = await this.#readRow(unit, signal)
    }
    if (row === undefined) {
      const stored = await this.#query(shardsSql(this.#tables, unit), signal)
      const slots = stored.map((each) => toUnit(each).slots)
      const isThere = slots.some((each) => isSameSlots(each, unit.slots))
      if (slots.length > 0 && !isThere) throw inOtherShards(unit, slots)
      throw new CheckpointConflictError(unitName(unit), 'its row was deleted as it was made')
    }
    const { source: owner, position, skipped } = toStoredUnit(row)
    if (owner !== source) {
      throw new ProjectionSourceError(
        unitName(unit),
        owner,
        source,
        `; or, if the source was only renamed, run\n  UPDATE ${this.#tables.checkpoints} SET source = ${quoteLiteral(source)} ` +
          `WHERE projection = ${quoteLiteral(unit.projection)};`,
      )
    }
    if (row.isHeadUnknown === 'true' && head !== undefined) {
      await this.#query(keepHeadSql(this.#tables, unit, head), signal)
    }
    const [furthest, bound] = [textOf(row.furthest), textOf(row.bound)]
    return { position, skipped, role: toRole(row), furthest, bound, decided: toLastDecided(row) }
  }

  async read(unit: Unit, signal: AbortSignal): Promise<StoredUnit | undefined> {
    const row = await this.#readRow(unit, signal)
    return row && toStoredUnit(row)
  }

  async progressOf(
    projection: string,
    version: number | undefined,
    signal: AbortSignal,
  ): Promise<readonly VersionProgress[]> {
    const sql = versionSql(this.#tables, projection, version)
    const rows = await explaining(this.#tables, 'reads', () => this.#readAlone(sql, signal))
    return rows.map((row) => ({
      unit: toUnit(row),
      source: String(row.source),
      position: textOf(row.position),
      role: toRole(row),
    }))
  }

  async list(filter: UnitFilter, signal: AbortSignal): Promise<readonly StoredUnit[]> {
    return (await this.#query(selectSql(this.#tables, filterSql(filter)), signal)).map(toStoredUnit)
  }

  async advance(request: AdvanceRequest, work: AdvanceWork<C>): Promise<Advanced> {
    const { evidence, signal } = request
    const backends = await this.#backendsOf(evidence.incarnation, signal)
    const [tables, unended, moves] = [this.#tables, this.#unended, this.#moves]
    return await withConnection(this.#pool, signal, (handlers, connection) => {
      const client = boundedClient(handlers, this.#pool.queryTimeoutMs)
      return advanceCheckpoint({ client, connection, tables, backends, unended, moves }, request, (locked) =>
        work(handlers, locked),
      )
    })
  }

  async progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]> {
    return (await this.#operatorQueries.reads(progressSql(this.#tables, source), signal)).map(toProgress)
  }

  /** The same server: one log, whatever the database. */
  async sharesLogWith(incarnation: string, signal: AbortSignal): Promise<boolean> {
    const parsed = parseIncarnation(incarnation)
    if (parsed === undefined) return false
    if (this.#systemIdentifier === undefined) {
      const [row] = await this.#query(
        'select system_identifier::text as identifier from pg_control_system()',
        signal,
      )
      this.#systemIdentifier = textOf(row?.identifier)
    }
    return parsed.systemIdentifier === this.#systemIdentifier
  }

  toDecide(source: string): string {
    const { checkpoints, settled } = this.#tables
    const ofSource = `WHERE source = ${quoteLiteral(source)}`
    return (
      'Find out whether the events up to each checkpoint are those that were handled. If they are, keep the checkpoints, ' +
      'with every daemon stopped:\n' +
      `  UPDATE ${checkpoints} SET settled = NULL, incarnation = NULL, log_position = NULL ${ofSource};\n` +
      `  DELETE FROM ${settled} ${ofSource};\n` +
      'If they are not, project anew: empty what the projections have written, and run\n' +
      `  DELETE FROM ${checkpoints} ${ofSource};\n` +
      `  DELETE FROM ${settled} ${ofSource};\n` +
      'If only some are, run the first two, and set the column position of each checkpoint to one that still holds.\n' +
      'Wherever a checkpoint is kept: if its column furthest is not NULL, set that to no more than the last position that ' +
      "still holds. A projection with effects: 'live_only' is called for no event up to there, and would miss new ones. " +
      'Then start again.'
    )
  }

  isTransient(error: unknown, thrownBy?: 'handler'): boolean {
    return isTransientPostgresError(error, thrownBy)
  }

  /** Where the events are in the same log. */
  async #backendsOf(incarnation: string, signal: AbortSignal): Promise<KnownBackends | undefined> {
    return (await this.sharesLogWith(incarnation, signal)) ? this.#backends : undefined
  }

  async #readRow(unit: Unit, signal: AbortSignal): Promise<Row | undefined> {
    const [row] = await this.#readAlone(selectSql(this.#tables, [isUnitSql('c', unit)]), signal)
    return row
  }

  async #readAlone(sql: string, signal: AbortSignal): Promise<readonly Row[]> {
    return await withConnection(this.#ownPool, signal, (client) => readAlone(client, sql))
  }

  async #query(sql: string, signal: AbortSignal): Promise<Row[]> {
    const results = await withConnection(this.#ownPool, signal, (client) => transact(client, sql))
    return results.flatMap(({ rows }) => rows)
  }
}
