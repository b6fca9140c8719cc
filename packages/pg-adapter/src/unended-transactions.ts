import { HandlerEndedTransactionError, type Unit, unitKey } from '@tidemark/core/adapter'
import type { BoundedClient } from './client.ts'
import { CommitPendingError, TransactionPendingError } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'

/** A transaction of this process. */
export interface OwnTransaction {
  readonly transaction: string
  readonly pid: string
  /** The run of the server that it is of. */
  readonly incarnation: string
}

interface Unended extends OwnTransaction {
  readonly why: 'commit_sent' | 'given_up'
}

/**
 * The transactions of this process whose end is not known, by unit. Each goes on holding the checkpoint's lock, which
 * would pass for that of another owner: a COMMIT that was sent and not answered, as one that waits for a synchronous
 * standby; and the transaction of a handler that was given up, as in the middle of a statement, whose server process
 * notices only at its end that nobody is there.
 */
export class UnendedTransactions {
  readonly #known = new Map<string, Unended>()

  commitSent(unit: Unit, transaction: OwnTransaction): void {
    this.#known.set(unitKey(unit), { ...transaction, why: 'commit_sent' })
  }

  /** Its handler has not ended, so no COMMIT of Tidemark was sent. */
  givenUp(unit: Unit, transaction: OwnTransaction): void {
    this.#known.set(unitKey(unit), { ...transaction, why: 'given_up' })
  }

  /**
   * Throws while the unit's own last transaction goes on; one that was given up is ended first. Whether there was one: then
   * the checkpoint's lock may be free by now.
   */
  async requireEnded(client: BoundedClient, unit: Unit, incarnation: string): Promise<boolean> {
    const key = unitKey(unit)
    const last = this.#known.get(key)
    if (last === undefined) return false
    // A server that was restarted has ended them all, and may give their ids to others.
    if (last.incarnation === incarnation) await requireEnded(client, unit, last)
    this.#known.delete(key)
    return true
  }
}

async function requireEnded(client: BoundedClient, { projection }: Unit, last: Unended): Promise<void> {
  const { pid, why } = last
  const isGivenUp = why === 'given_up'
  const before = await look(client, last)
  const isToBeEnded = before.status === 'in progress' && isGivenUp
  if (isToBeEnded) await terminate(client, last)
  const { status } = isToBeEnded ? await look(client, last) : before
  if (status === 'in progress') {
    throw isGivenUp
      ? new TransactionPendingError(projection, pid, before.waitsFor)
      : new CommitPendingError(projection, pid, before.waitsFor)
  }
  if (status === 'committed' && isGivenUp) throw new HandlerEndedTransactionError(projection)
}

async function look(
  client: BoundedClient,
  { transaction, pid }: Unended,
): Promise<{ readonly status: unknown; readonly waitsFor: string }> {
  const id = `${quoteLiteral(transaction)}::xid8`
  const { rows } = await client.query(
    `select case when ${id} <= pg_current_xact_id() then pg_xact_status(${id})::text end as status,
       (select concat_ws(' ', a.wait_event_type, a.wait_event)
        from pg_stat_get_activity(${quoteLiteral(pid)}::int) a) as "waitsFor"`,
  )
  return { status: rows[0]?.status, waitsFor: String(rows[0]?.waitsFor ?? '') }
}

const TERMINATE_WAIT_MS = 5_000

/**
 * Ends the server process, and waits for that. The transaction is compared, because the number of a process that has ended may
 * be another one's by now.
 */
async function terminate(client: BoundedClient, { transaction, pid }: Unended): Promise<void> {
  const waitMs = Math.min(TERMINATE_WAIT_MS, Math.floor(client.queryTimeoutMs / 2))
  await client.query(
    `select pg_terminate_backend(a.pid, ${waitMs}) from pg_stat_get_activity(${quoteLiteral(pid)}::int) a
     where a.backend_xid = ${quoteLiteral(transaction)}::xid8::xid`,
  )
}
