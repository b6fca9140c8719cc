import { HandlerEndedTransactionError, type Unit, unitKey } from '@tidemark/core/adapter'
import type { PgClient } from './client.ts'
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

  /** Throws while the unit's own last transaction goes on, after it has told the server to end one that was given up. */
  async requireEnded(client: PgClient, unit: Unit, incarnation: string): Promise<void> {
    const key = unitKey(unit)
    const last = this.#known.get(key)
    if (last === undefined) return
    // A server that was restarted has ended them all, and may give their ids to others.
    if (last.incarnation === incarnation) await requireEnded(client, unit, last)
    this.#known.delete(key)
  }
}

async function requireEnded(
  client: PgClient,
  { projection }: Unit,
  { transaction, pid, why }: Unended,
): Promise<void> {
  const id = `${quoteLiteral(transaction)}::xid8`
  const { rows } = await client.query(
    `select case when ${id} <= pg_current_xact_id() then pg_xact_status(${id})::text end as status,
       (select concat_ws(' ', a.wait_event_type, a.wait_event)
        from pg_stat_get_activity(${quoteLiteral(pid)}::int) a) as "waitsFor"`,
  )
  const { status, waitsFor } = rows[0] ?? {}
  if (status === 'in progress') {
    if (why === 'commit_sent') throw new CommitPendingError(projection, pid, String(waitsFor ?? ''))
    // The transaction is compared, because the number of a process that has ended may be another one's by now.
    await client.query(
      `select pg_terminate_backend(a.pid) from pg_stat_get_activity(${quoteLiteral(pid)}::int) a where a.backend_xid = ${id}::xid`,
    )
    throw new TransactionPendingError(projection, pid, String(waitsFor ?? ''))
  }
  if (status === 'committed' && why === 'given_up') throw new HandlerEndedTransactionError(projection)
}
