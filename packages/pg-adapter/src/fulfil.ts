import {
  type AuditEntry,
  addCrossed,
  type ControlledUnit,
  type Fulfilment,
  type FulfilRequest,
  type PendingRequest,
  type StateChange,
} from '@tidemark/core/adapter'
import { compareRun } from './advance.ts'
import { lockStatement, toRuns } from './advance-sql.ts'
import { textOf } from './checkpoint-rows.ts'
import type { CheckpointTables } from './checkpoint-tables.ts'
import type { BoundedClient, Connection } from './client.ts'
import { closeLetters } from './close-letters.ts'
import {
  besideSql,
  changeSql,
  forFulfilmentSql,
  forLiveSql,
  forNextShardSql,
  fulfilledSql,
  toAuditEntry,
  toControlledUnit,
} from './control-sql.ts'
import { QueryTimeoutError } from './errors.ts'
import { inOrderSql } from './late-event-rows.ts'
import type { KnownBackends } from './server/backends.ts'
import { LOCK_NOT_AVAILABLE, sqlState } from './sql-state.ts'
import { plainSql } from './statement.ts'
import { beginForOthers, limitSql, manyResults } from './transaction.ts'
import type { GivenTransaction, UnendedTransactions } from './unended-transactions.ts'
import { commitIn, workIn } from './user-transaction.ts'

export interface FulfilParts {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly tables: CheckpointTables
  readonly unended: UnendedTransactions
  /** Given when the events are in the same log. */
  readonly backendsOf: (incarnation: string, signal: AbortSignal) => Promise<KnownBackends | undefined>
}

/** One transaction: lock the row, let the user's function work, change the row, end the request and note that, commit. */
export async function fulfilRequest(
  parts: FulfilParts,
  request: FulfilRequest,
  work: (
    found: ControlledUnit,
    live: ControlledUnit | undefined,
    others: readonly ControlledUnit[],
  ) => Promise<Fulfilment | undefined>,
): Promise<AuditEntry | undefined> {
  const { client, connection, tables, unended } = parts
  const { unit, id, signal } = request
  try {
    const locked = await beginAndLock(parts, request)
    const asked = locked?.found.asked
    if (locked === undefined || asked?.id !== id) {
      await client.query('rollback')
      return undefined
    }
    const { found, live } = locked
    const others = await lockOthers(parts, request)
    const given = { client, connection, unended, unit, locked }
    const fulfilled = await workIn(given, signal, () => work(found, live, others))
    if (fulfilled === undefined) {
      await client.query('rollback')
      return undefined
    }
    const changed = 'to' in fulfilled ? (fulfilled.others ?? []) : []
    if ('to' in fulfilled && fulfilled.closes) await closeLetters(client, tables, unit, fulfilled.closes)
    for (const { found: other, closes } of changed) {
      if (closes) await closeLetters(client, tables, other.unit, closes)
    }
    const ended = endSql(tables, locked, asked, await withCrossed(parts, found, fulfilled, signal))
    const results = await commitIn(given, `${limitSql(client)}; ${ended}`)
    const entry = results.at(-2)?.rows[0]
    if (entry === undefined) throw new TypeError('a request has ended without its entry')
    return toAuditEntry(entry)
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    if (!(error instanceof QueryTimeoutError)) await client.query('rollback').catch(() => {})
    // The batch of the live version, or of another shard, takes longer.
    if (error instanceof OthersBusy) return undefined
    throw error
  }
}

class OthersBusy extends Error {}

interface LockedUnit extends GivenTransaction {
  readonly found: ControlledUnit
  readonly live: ControlledUnit | undefined
}

/** `undefined`: another owner has it or has begun, or it is gone. */
async function beginAndLock(
  { client, tables, unended }: FulfilParts,
  { unit, incarnation, liveWithinMs, session }: FulfilRequest,
): Promise<LockedUnit | undefined> {
  // The live one first, in every process: who waits for it holds nothing, and the other is not waited for.
  const first = liveWithinMs === undefined ? '' : `${forLiveSql(tables, unit, liveWithinMs)}; `
  const results = await beginForOthers(client, `${first}${forFulfilmentSql(tables, unit)}`).catch(
    (error: unknown) => {
      throw liveWithinMs !== undefined && sqlState(error) === LOCK_NOT_AVAILABLE ? new OthersBusy() : error
    },
  )
  const row = results.at(-1)?.rows[0]
  const live = liveWithinMs === undefined ? undefined : results.at(1)?.rows[0]
  // Nothing was begun by this process before it knew a run of the server.
  if (incarnation !== undefined) await unended.requireEnded(client, unit, incarnation)
  if (row === undefined) return undefined
  // While the live version was waited for, another one has become it: that one is locked at the next try.
  if (liveWithinMs !== undefined && live === undefined && row.hasOtherLive === 'true') throw new OthersBusy()
  if (session !== undefined && textOf(row.session) !== session) return undefined
  const { transaction, pid, backend } = row
  return {
    transaction: String(transaction),
    pid: String(pid),
    backend: String(backend),
    incarnation: incarnation ?? '',
    found: toControlledUnit(row),
    live: live && toControlledUnit(live),
  }
}

/** One by one: each wait is a statement of its own. */
async function lockOthers(
  { client, tables }: FulfilParts,
  { unit, shardsWithinMs }: FulfilRequest,
): Promise<readonly ControlledUnit[]> {
  const others: ControlledUnit[] = []
  if (shardsWithinMs === undefined) return others
  for (let last = unit; ; ) {
    const results = await client
      .query(forNextShardSql(tables, last, shardsWithinMs))
      .catch((error: unknown) => {
        throw sqlState(error) === LOCK_NOT_AVAILABLE ? new OthersBusy() : error
      })
    const row = manyResults(results).at(1)?.rows[0]
    if (row === undefined) return others
    const other = toControlledUnit(row)
    others.push(other)
    last = other.unit
  }
}

/** What an `advance` looks at: the run of the server that the page was read from, and the runs that are crossed. */
async function withCrossed(
  { client, tables, backendsOf }: FulfilParts,
  { unit, source, position }: ControlledUnit,
  fulfilled: Fulfilment,
  signal: AbortSignal,
): Promise<Fulfilment> {
  if (!('to' in fulfilled) || fulfilled.evidence === undefined || fulfilled.to.position === undefined) {
    return fulfilled
  }
  const { to, evidence, positions = [] } = fulfilled
  const backends = await backendsOf(evidence.incarnation, signal)
  const request = { unit, source, from: position, to: fulfilled.to.position, positions, evidence }
  const { rows } = await client.query(plainSql(lockStatement(tables, request)))
  const row = rows[0]
  if (row === undefined) throw new TypeError('a unit that was locked is gone')
  if (backends) await compareRun(client, backends, evidence, row)
  const { crossed, inOrder: areInOrder } = toRuns(row.runs)
  const inOrder = areInOrder(positions)
  if (inOrder.length > 0) await client.query(inOrderSql(tables, unit, source, inOrder))
  return { to: { ...to, skipped: addCrossed(to.skipped, crossed) }, evidence }
}

function endSql(
  tables: CheckpointTables,
  { found, live, transaction }: LockedUnit,
  { id, operation, who, why }: PendingRequest,
  fulfilled: Fulfilment,
): string {
  const refused = 'refused' in fulfilled ? fulfilled.refused : undefined
  const to = 'to' in fulfilled ? fulfilled.to : found
  const change: StateChange = { operation, who, why, to, ends: { id, operation } }
  const evidence = 'to' in fulfilled ? fulfilled.evidence : undefined
  const others = 'to' in fulfilled ? (fulfilled.others ?? []) : []
  const changed = others.map((other) => `${changeSql(tables, other.found, { ...change, to: other.to })}; `)
  const ended = `${changed.join('')}${fulfilledSql(tables, found, change, { transaction, refused, evidence })}`
  return live !== undefined && to.role === 'live' ? `${besideSql(tables, live.unit)}; ${ended}` : ended
}
