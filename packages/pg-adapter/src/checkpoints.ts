import {
  type Advanced,
  type AdvanceRequest,
  type Checkpoint,
  CheckpointConflictError,
  type CheckpointStore,
  type FirstStart,
  ProjectionSourceError,
  requireKnownOptions,
  type SettledMemory,
  type SkipLedger,
  type StoredProgress,
  type StoredUnit,
  type Unit,
  type UnitFilter,
} from '@tidemark/core/adapter'
import { advanceCheckpoint } from './advance.ts'
import {
  type CheckpointTables,
  checkpointTables,
  isUnitSql,
  type Query,
  type Row,
  unitValuesSql,
} from './checkpoint-tables.ts'
import {
  type BoundedPool,
  type PgCallbackPool,
  type PgClient,
  type PgPool,
  withConnection,
} from './client.ts'
import { quoteLiteral } from './identifiers.ts'
import { migrate } from './migrations/migrate.ts'
import { requirePool, requireText, resolveQueryTimeout } from './pool-options.ts'
import { boundedClient, boundedPool } from './query-timeout.ts'
import { KnownBackends } from './server/backends.ts'
import { parseIncarnation } from './server/incarnation.ts'
import { settledMemory } from './settled-memory.ts'
import { skipLedger } from './skip-ledger.ts'
import { parseSkipTotals } from './skip-totals.ts'
import { transact } from './transaction.ts'
import { isTransientPostgresError } from './transience.ts'
import { UnansweredCommits } from './unanswered-commits.ts'

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
  readonly settled: SettledMemory
  readonly skips: SkipLedger
  /** Gives connections as handlers get them. */
  readonly #pool: BoundedPool<C>
  readonly #ownPool: BoundedPool
  readonly #schema: string
  readonly #unanswered = new UnansweredCommits()
  readonly #tables: CheckpointTables
  readonly #backends = new KnownBackends()
  #systemIdentifier: string | undefined

  constructor(pool: PgPool<C>, schema: string, queryTimeoutMs: number) {
    this.#pool = { connect: () => pool.connect(), pool, queryTimeoutMs }
    this.#ownPool = boundedPool(pool, queryTimeoutMs)
    this.#schema = schema
    this.#tables = checkpointTables(schema)
    const query: Query = (sql, signal) => this.#query(sql, signal)
    this.settled = settledMemory(query, this.#tables)
    this.skips = skipLedger(query, this.#tables)
  }

  prepare(signal: AbortSignal): Promise<void> {
    return migrate(this.#ownPool, this.#schema, signal)
  }

  async open(unit: Unit, { source, head }: FirstStart, signal: AbortSignal): Promise<Checkpoint> {
    const { checkpoints } = this.#tables
    let row = await this.#readRow(unit, signal)
    if (row === undefined) {
      await this.#query(
        `insert into ${checkpoints} (projection, version, slot_from, slot_to, source, started_at_head)
         values (${unitValuesSql(unit)}, ${quoteLiteral(source)}, ${quoteLiteral(head)})
         on conflict do nothing`,
        signal,
      )
      row = await this.#readRow(unit, signal)
    }
    if (row === undefined)
      throw new CheckpointConflictError(unit.projection, 'its row was deleted as it was made')
    const { source: owner, position, skipped } = toStoredUnit(row)
    if (owner !== source) {
      throw new ProjectionSourceError(
        unit.projection,
        owner,
        source,
        `; or, if the source was only renamed, run\n  UPDATE ${checkpoints} SET source = ${quoteLiteral(source)} ` +
          `WHERE projection = ${quoteLiteral(unit.projection)};`,
      )
    }
    if (row.isHeadUnknown === 'true' && head !== undefined) await this.#keepHead(unit, head, signal)
    return { position, skipped }
  }

  /** For a row that the first version made. One that an owner is working on is left to that owner. */
  async #keepHead(unit: Unit, head: string, signal: AbortSignal): Promise<void> {
    const { checkpoints } = this.#tables
    await this.#query(
      `update ${checkpoints} c set started_at_head = ${quoteLiteral(head)}
       where ${isUnitSql('c', unit)} and exists (
         select from ${checkpoints} o
         where ${isUnitSql('o', unit)} and o.position is null and o.started_at_head is null
         for update skip locked
       )`,
      signal,
    )
  }

  async read(unit: Unit, signal: AbortSignal): Promise<StoredUnit | undefined> {
    const row = await this.#readRow(unit, signal)
    return row && toStoredUnit(row)
  }

  async list({ source, projection }: UnitFilter, signal: AbortSignal): Promise<readonly StoredUnit[]> {
    const conditions = [
      ...(source === undefined ? [] : [`c.source = ${quoteLiteral(source)}`]),
      ...(projection === undefined ? [] : [`c.projection = ${quoteLiteral(projection)}`]),
    ]
    return (await this.#query(this.#select(conditions), signal)).map(toStoredUnit)
  }

  async advance(request: AdvanceRequest, work: (tx: C) => Promise<void>): Promise<Advanced> {
    const { evidence, signal } = request
    const backends = (await this.sharesLogWith(evidence.incarnation, signal)) ? this.#backends : undefined
    const [tables, unanswered] = [this.#tables, this.#unanswered]
    return await withConnection(this.#pool, signal, (handlers, connection) => {
      const client = boundedClient(handlers, this.#pool.queryTimeoutMs)
      return advanceCheckpoint({ client, connection, tables, backends, unanswered }, request, () =>
        work(handlers),
      )
    })
  }

  async progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]> {
    const { checkpoints, settled } = this.#tables
    const rows = await this.#query(
      `select ${UNIT_COLUMNS}, position, settled, incarnation, log_position from ${checkpoints} c
         where source = ${quoteLiteral(source)}
       union all
       select null, null, null, null, null, settled, incarnation, log_position from ${settled}
         where source = ${quoteLiteral(source)}`,
      signal,
    )
    return rows.map((row) => {
      const incarnation = textOf(row.incarnation)
      return {
        unit: row.projection === null ? undefined : toUnit(row),
        position: textOf(row.position),
        settled: textOf(row.settled),
        logPosition: textOf(row.log_position),
        ...(incarnation === undefined ? {} : { incarnation }),
      }
    })
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
      'If only some are, run the first two, and set the column position of each checkpoint to one that still holds. Then ' +
      'start again.'
    )
  }

  isTransient(error: unknown): boolean {
    return isTransientPostgresError(error)
  }

  #select(conditions: readonly string[]): string {
    const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
    return `select ${UNIT_COLUMNS}, source, position, skipped::text as skipped,
        (position is null and started_at_head is null)::text as "isHeadUnknown"
      from ${this.#tables.checkpoints} c ${where}`
  }

  async #readRow(unit: Unit, signal: AbortSignal): Promise<Row | undefined> {
    const [row] = await this.#query(this.#select([isUnitSql('c', unit)]), signal)
    return row
  }

  async #query(sql: string, signal: AbortSignal): Promise<Row[]> {
    const [result] = await withConnection(this.#ownPool, signal, (client) => transact(client, sql))
    return result?.rows ?? []
  }
}

/** The key of a row, as text whatever parsers the pool has. */
const UNIT_COLUMNS =
  'projection, version::text as version, slot_from::text as "slotFrom", slot_to::text as "slotTo"'

function toUnit(row: Row): Unit {
  const { projection, version, slotFrom, slotTo } = row
  const slots = { from: Number(slotFrom), to: Number(slotTo) }
  return { projection: String(projection), version: Number(version), slots }
}

function toStoredUnit(row: Row): StoredUnit {
  const { source, position, skipped } = row
  return {
    unit: toUnit(row),
    source: String(source),
    position: textOf(position),
    skipped: parseSkipTotals(skipped),
  }
}

function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value)
}
