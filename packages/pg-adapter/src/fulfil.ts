import type {
  AuditEntry,
  ControlledUnit,
  Fulfilment,
  FulfilRequest,
  PendingRequest,
  StateChange,
} from '@tidemark/core/adapter'
import type { CheckpointTables } from './checkpoint-tables.ts'
import type { BoundedClient, Connection } from './client.ts'
import { forFulfilmentSql, fulfilledSql, toAuditEntry, toControlledUnit } from './control-sql.ts'
import { QueryTimeoutError } from './errors.ts'
import { beginForOthers, limitSql } from './transaction.ts'
import type { OwnTransaction, UnendedTransactions } from './unended-transactions.ts'
import { commitIn, workIn } from './user-transaction.ts'

export interface FulfilParts {
  readonly client: BoundedClient
  readonly connection: Connection
  readonly tables: CheckpointTables
  readonly unended: UnendedTransactions
}

/** One transaction: lock the row, let the user's function work, change the row, end the request and note that, commit. */
export async function fulfilRequest(
  parts: FulfilParts,
  request: FulfilRequest,
  work: (found: ControlledUnit) => Promise<Fulfilment>,
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
    const { found } = locked
    const given = { client, connection, unended, unit, locked }
    const fulfilled = await workIn(given, signal, () => work(found))
    const ended = endSql(tables, found, asked, fulfilled, locked)
    const results = await commitIn(given, `${limitSql(client)}; ${ended}`)
    const entry = results.at(-2)?.rows[0]
    if (entry === undefined) throw new TypeError('a request has ended without its entry')
    return toAuditEntry(entry)
  } catch (error) {
    // The connection is destroyed after an error; this ends the transaction at once, where it still can.
    if (!(error instanceof QueryTimeoutError)) await client.query('rollback').catch(() => {})
    throw error
  }
}

interface LockedUnit extends OwnTransaction {
  readonly found: ControlledUnit
}

/** `undefined`: another owner has it, or it is gone. */
async function beginAndLock(
  { client, tables, unended }: FulfilParts,
  { unit, incarnation }: FulfilRequest,
): Promise<LockedUnit | undefined> {
  const [locked] = await beginForOthers(client, forFulfilmentSql(tables, unit))
  const row = locked?.rows[0]
  // Nothing was begun by this process before it knew a run of the server.
  if (incarnation !== undefined) await unended.requireEnded(client, unit, incarnation)
  if (row === undefined) return undefined
  const { transaction, pid } = row
  return {
    transaction: String(transaction),
    pid: String(pid),
    incarnation: incarnation ?? '',
    found: toControlledUnit(row),
  }
}

function endSql(
  tables: CheckpointTables,
  found: ControlledUnit,
  { id, operation, who, why }: PendingRequest,
  fulfilled: Fulfilment,
  { transaction }: OwnTransaction,
): string {
  const refused = 'refused' in fulfilled ? fulfilled.refused : undefined
  const to = 'to' in fulfilled ? fulfilled.to : found
  const change: StateChange = { operation, who, why, to, ends: { id, operation } }
  return fulfilledSql(tables, found, change, { transaction, refused })
}
