import {
  type Advanced,
  type AdvanceRequest,
  type Checkpoint,
  CheckpointConflictError,
  type CheckpointStore,
  requireKnownOptions,
  type SkippedRun,
  type StoredEvidence,
  type StoredProgress,
} from '@tidemark/core/adapter'
import { advanceCheckpoint } from './advance.ts'
import { type CheckpointTables, checkpointTables } from './checkpoint-tables.ts'
import { type BoundedPool, type PgClient, type PgPool, withConnection } from './client.ts'
import { isTransientPostgresError, ProjectionSourceError } from './errors.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'
import { migrate } from './migrations/migrate.ts'
import { requirePool, requireText, resolveQueryTimeout } from './options.ts'
import { boundedClient, boundedPool } from './query-timeout.ts'
import { KnownBackends } from './server/backends.ts'
import { parseIncarnation } from './server/incarnation.ts'
import { parseSkipTotals } from './skip-totals.ts'
import { transact } from './transaction.ts'
import { UnansweredCommits } from './unanswered-commits.ts'

export interface PostgresCheckpointsOptions<C extends PgClient = PgClient> {
  /**
   * A `pg.Pool`, or anything with its `connect`. Each running batch holds one of its connections: give it one for each
   * projection, and one to spare.
   */
  readonly pool: PgPool<C>
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
 * @typeParam C - the connection that handlers get; `postgresCheckpoints<pg.PoolClient>({ pool })` for the driver's own type
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
  }

  prepare(signal: AbortSignal): Promise<void> {
    return migrate(this.#ownPool, this.#schema, signal)
  }

  async read(projection: string, source: string, signal: AbortSignal): Promise<Checkpoint> {
    const { checkpoints } = this.#tables
    const select = `select source, position, skipped::text as skipped from ${checkpoints}
      where projection = ${quoteLiteral(projection)}`
    let [row] = await this.#query(select, signal)
    if (row === undefined) {
      await this.#query(
        `insert into ${checkpoints} (projection, source) values (${quoteLiteral(projection)}, ${quoteLiteral(source)})
         on conflict (projection) do nothing`,
        signal,
      )
      row = (await this.#query(select, signal))[0]
    }
    if (row === undefined) throw new CheckpointConflictError(projection, 'its row was deleted as it was made')
    if (row.source !== source) {
      throw new ProjectionSourceError(
        `projection "${projection}" has a checkpoint of the source "${String(row.source)}", and now reads "${source}": ` +
          `choose another name; or, if the source was only renamed, run\n` +
          `  UPDATE ${checkpoints} SET source = ${quoteLiteral(source)} WHERE projection = ${quoteLiteral(projection)};`,
      )
    }
    return { position: textOf(row.position), skipped: parseSkipTotals(row.skipped) }
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
      `select projection, position, settled, incarnation, log_position from ${checkpoints}
         where source = ${quoteLiteral(source)}
       union all
       select null, null, settled, incarnation, log_position from ${settled} where source = ${quoteLiteral(source)}`,
      signal,
    )
    return rows.map((row) => {
      const incarnation = textOf(row.incarnation)
      return {
        projection: textOf(row.projection),
        position: textOf(row.position),
        settled: textOf(row.settled),
        logPosition: textOf(row.log_position),
        ...(incarnation === undefined ? {} : { incarnation }),
      }
    })
  }

  async saveSettled(
    source: string,
    { settled, incarnation, logPosition }: StoredEvidence,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `insert into ${this.#tables.settled} (source, settled, incarnation, log_position)
       values (${[source, settled, incarnation, logPosition].map(quoteLiteral).join(', ')})
       on conflict (source) do update
       set settled = excluded.settled, incarnation = excluded.incarnation, log_position = excluded.log_position,
         updated_at = now()`,
      signal,
    )
  }

  async recordSkips(source: string, runs: readonly SkippedRun<string>[], signal: AbortSignal): Promise<void> {
    const { skips } = this.#tables
    const numbers = (of: (run: SkippedRun<string>) => string): string =>
      `${quoteTexts(runs.map(of))}::numeric[]`
    await this.#query(
      `insert into ${skips} (source, stored, current, count)
       select ${quoteLiteral(source)}, greatest(run.stored, passed.upto), run.current,
         run.count - greatest(0, coalesce(passed.upto - run.stored, 0))
       from unnest(
         ${numbers((run) => run.stored)}, ${numbers((run) => run.current)}, ${numbers((run) => run.count.toString())}
       ) as run (stored, current, count)
       cross join (select max(current) as upto from ${skips} where source = ${quoteLiteral(source)}) as passed
       where passed.upto is null or run.current > passed.upto + 1
       on conflict do nothing`,
      signal,
    )
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

  async #query(sql: string, signal: AbortSignal): Promise<Record<string, unknown>[]> {
    const [result] = await withConnection(this.#ownPool, signal, (client) => transact(client, sql))
    return result?.rows ?? []
  }
}

function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value)
}
