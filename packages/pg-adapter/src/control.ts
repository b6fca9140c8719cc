import {
  type AuditEntry,
  type AuditFilter,
  type ChangeLimits,
  CheckpointBusyError,
  type Control,
  type ControlFilter,
  type ControlledUnit,
  type DecideShards,
  type Fulfilment,
  type FulfilRequest,
  type Unit,
  type UnitChange,
  unitName,
} from '@tidemark/core/adapter'
import { filterSql } from './checkpoint-rows.ts'
import type { CheckpointTables, Query, Row } from './checkpoint-tables.ts'
import { type BoundedClient, type BoundedPool, type PgClient, withConnection } from './client.ts'
import { closeLetters } from './close-letters.ts'
import {
  askSql,
  auditSql,
  changeSql,
  controlledSql,
  forControlSql,
  holderSql,
  toAuditEntry,
  toControlledUnit,
} from './control-sql.ts'
import { type FulfilParts, fulfilRequest } from './fulfil.ts'
import { explained } from './operator-errors.ts'
import { boundedClient } from './query-timeout.ts'
import { reshardVersion } from './reshard.ts'
import { holdBoundsSql } from './reshard-sql.ts'
import { LOCK_NOT_AVAILABLE, sqlState } from './sql-state.ts'
import { begin, manyResults } from './transaction.ts'
import type { UnendedTransactions } from './unended-transactions.ts'

interface ControlParts<C extends PgClient> {
  readonly pool: BoundedPool
  /** Gives connections as handlers get them. */
  readonly handlersPool: BoundedPool<C>
  readonly query: Query
  readonly tables: CheckpointTables
  readonly unended: UnendedTransactions
  readonly backendsOf: FulfilParts['backendsOf']
}

/** Of a unit, or of all of a version. */
type LockedRows = Pick<Unit, 'projection' | 'version'> & Partial<Pick<Unit, 'slots'>>

/** What operators want, in the rows of the checkpoints, and in the table `audit`. */
export class PostgresControl<C extends PgClient> implements Control<C> {
  readonly #pool: BoundedPool
  readonly #handlersPool: BoundedPool<C>
  readonly #query: Query
  readonly #tables: CheckpointTables
  readonly #unended: UnendedTransactions
  readonly #backendsOf: FulfilParts['backendsOf']

  constructor({ pool, handlersPool, query, tables, unended, backendsOf }: ControlParts<C>) {
    this.#pool = pool
    this.#handlersPool = handlersPool
    this.#query = query
    this.#tables = tables
    this.#unended = unended
    this.#backendsOf = backendsOf
  }

  async units(
    { desired, ...filter }: ControlFilter,
    signal: AbortSignal,
  ): Promise<readonly ControlledUnit[]> {
    // Whatever else may be written there: it is not to run.
    const wanted = desired === undefined ? [] : [`c.desired ${desired === 'running' ? '=' : '<>'} 'running'`]
    const rows = await this.#query(controlledSql(this.#tables, [...filterSql(filter), ...wanted]), signal)
    return rows.map(toControlledUnit)
  }

  async change(
    unit: Unit,
    decide: (found: ControlledUnit | undefined) => UnitChange | undefined,
    limits: ChangeLimits,
  ): Promise<AuditEntry | undefined> {
    return await this.#locking(unit, limits, (client, waitMs) =>
      changeUnit({ client, tables: this.#tables, unit, waitMs: waitMs() }, decide),
    )
  }

  /** Does what locks rows first, and waits for each no longer than `waitMs` says then; again and again, as long as `limits` say. */
  async #locking<T>(
    unit: LockedRows,
    { timeoutMs, signal }: ChangeLimits,
    work: (client: BoundedClient, waitMs: () => number) => Promise<T>,
  ): Promise<T> {
    // Shorter than its statement may take, so that a wait is told from a server that does not answer.
    const onceMs = this.#pool.queryTimeoutMs * 0.8
    const untilMs = performance.now() + timeoutMs
    const waitMs = (): number => Math.max(1, Math.floor(Math.min(untilMs - performance.now(), onceMs)))
    for (;;) {
      const isLast = untilMs - performance.now() <= onceMs
      try {
        return await withConnection(this.#pool, signal, (client) => work(client, waitMs))
      } catch (error) {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw explained(this.#tables, 'changes', error)
        if (!isLast) continue
        const [holder] = await this.#query(holderSql(this.#tables, unit), signal)
        throw new CheckpointBusyError(unitName(unit), timeoutMs, describeHolder(holder))
      }
    }
  }

  async reshard(
    version: Pick<Unit, 'projection' | 'version'>,
    decide: DecideShards,
    limits: ChangeLimits,
  ): Promise<readonly AuditEntry[]> {
    return await this.#locking(version, limits, (client, waitMs) =>
      reshardVersion({ client, tables: this.#tables, waitMs }, version, decide),
    )
  }

  async holdBounds(
    version: Pick<Unit, 'projection' | 'version'>,
    forMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#query(holdBoundsSql(this.#tables, version, forMs), signal)
  }

  async fulfil(
    request: FulfilRequest,
    work: (
      tx: C,
      found: ControlledUnit,
      live: ControlledUnit | undefined,
      others: readonly ControlledUnit[],
    ) => Promise<Fulfilment | undefined>,
  ): Promise<AuditEntry | undefined> {
    const pool = this.#handlersPool
    const shared = { tables: this.#tables, unended: this.#unended, backendsOf: this.#backendsOf }
    return await withConnection(pool, request.signal, (handlers, connection) => {
      const client = boundedClient(handlers, pool.queryTimeoutMs)
      return fulfilRequest({ client, connection, ...shared }, request, (found, live, others) =>
        work(handlers, found, live, others),
      )
    })
  }

  async audit(filter: AuditFilter, signal: AbortSignal): Promise<readonly AuditEntry[]> {
    return (await this.#query(auditSql(this.#tables, filter), signal)).map(toAuditEntry)
  }
}

interface Changing {
  readonly client: BoundedClient
  readonly tables: CheckpointTables
  readonly unit: Unit
  readonly waitMs: number
}

/** Lock the row, decide, change it and note that, commit. */
async function changeUnit(
  { client, tables, unit, waitMs }: Changing,
  decide: (found: ControlledUnit | undefined) => UnitChange | undefined,
): Promise<AuditEntry | undefined> {
  const locked = await begin(client, `set local lock_timeout = ${waitMs}; ${forControlSql(tables, unit)}`)
  const row = locked.at(-1)?.rows[0]
  const found = row && toControlledUnit(row)
  const change = await decided(client, () => decide(found))
  if (found === undefined || change === undefined) {
    await client.query('rollback')
    return undefined
  }
  if ('ask' in change) {
    await client.query(`${askSql(tables, unit, change.ask)}; commit`)
    return undefined
  }
  if (change.closes) await closeLetters(client, tables, unit, change.closes)
  const results = manyResults(await client.query(`${changeSql(tables, found, change)}; commit`))
  const entry = results[0]?.rows[0]
  if (entry === undefined || results.at(-1)?.command !== 'COMMIT') {
    throw new TypeError(`the row of ${JSON.stringify(unitName(unit))} was changed while it was locked`)
  }
  return toAuditEntry(entry)
}

/** The row is let go at once where nothing is to be done. */
async function decided<T>(client: BoundedClient, decide: () => T): Promise<T> {
  try {
    return decide()
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

function describeHolder(row: Row | undefined): string {
  if (row === undefined) return 'a batch that has ended since'
  const { pid, application, state, forSeconds } = row
  const name = application ? ` (${String(application)})` : ''
  const since = forSeconds === null ? '' : `, whose transaction is open for ${String(forSeconds)} s`
  const asks = state === null ? '' : `, ${String(state)}`
  return `the server process ${String(pid)}${name}${asks}${since}; SELECT pg_terminate_backend(${String(pid)}) ends it, and its batch is handled again`
}
