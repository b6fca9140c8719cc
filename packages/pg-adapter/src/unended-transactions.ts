import { HandlerEndedTransactionError, type Unit, unitKey } from '@tidemark/core/adapter'
import { type BoundedClient, type BoundedPool, withConnection } from './client.ts'
import { CommitPendingError, TransactionPendingError } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'
import { startedSql } from './server/incarnation.ts'
import { transact } from './transaction.ts'

/** A transaction of this process. */
export interface OwnTransaction {
  readonly transaction: string
  readonly pid: string
  /** The run of the server that it is of. */
  readonly incarnation: string
}

/** One in which a handler works. */
export interface GivenTransaction extends OwnTransaction {
  /** Its server process, and when that began (`BACKEND_KEY_SQL`). */
  readonly backend: string
}

interface Unended extends OwnTransaction {
  /** Of one that was given up: no COMMIT of Tidemark was sent. `notEnded`: why its server process was not told to end. */
  readonly givenUp: (GivenTransaction & { notEnded: unknown }) | undefined
}

/**
 * The transactions of this process whose end is not known, by unit. Each goes on holding the checkpoint's lock, which
 * would pass for that of another owner: a COMMIT that was sent and not answered, as one that waits for a synchronous
 * standby; and the transaction of a handler that was given up, as in the middle of a statement, whose server process
 * notices only at its end that nobody is there. That one is told to end at once, on another connection.
 */
export class UnendedTransactions {
  readonly #known = new Map<string, Unended>()
  readonly #pool: BoundedPool

  constructor(pool: BoundedPool) {
    this.#pool = pool
  }

  commitSent(unit: Unit, transaction: OwnTransaction): void {
    this.#known.set(unitKey(unit), { ...transaction, givenUp: undefined })
  }

  /** Its handler has not ended. Nobody waits until its server process has: what fails here is tried, and told, by the next try. */
  givenUp(unit: Unit, transaction: GivenTransaction): void {
    const givenUp = { ...transaction, notEnded: undefined as unknown }
    this.#known.set(unitKey(unit), { ...transaction, givenUp })
    const sql = terminateSql(transaction, 0)
    const within = AbortSignal.timeout(END_WITHIN_MS)
    withConnection(this.#pool, within, (client) => transact(client, sql)).catch((error: unknown) => {
      givenUp.notEnded = error
    })
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
  const { pid, givenUp } = last
  const before = await look(client, last)
  const { waitsFor } = before
  if (givenUp === undefined) {
    if (before.status === 'in progress') throw new CommitPendingError(projection, pid, waitsFor)
    return
  }
  if (before.status === 'in progress') await terminate(client, givenUp)
  const { status } = before.status === 'in progress' ? await look(client, last) : before
  if (status === 'in progress') {
    const { notEnded: cause } = givenUp
    throw new TransactionPendingError(projection, pid, waitsFor, cause === undefined ? {} : { cause })
  }
  if (status === 'committed') throw new HandlerEndedTransactionError(projection)
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
const END_WITHIN_MS = 5_000

/** Ends the server process, and waits for that. */
async function terminate(client: BoundedClient, last: GivenTransaction): Promise<void> {
  const waitMs = Math.min(TERMINATE_WAIT_MS, Math.floor(client.queryTimeoutMs / 2))
  await client.query(terminateSql(last, waitMs))
}

/**
 * Compares when the process began, since the number of one that has ended may be another one's by now; and its transaction,
 * since a pooler may have given it to somebody else once the handler has ended that. Where this role may not see either, nothing is ended.
 */
function terminateSql({ transaction, pid, backend }: GivenTransaction, waitMs: number): string {
  return `select pg_terminate_backend(a.pid, ${waitMs}) from pg_stat_get_activity(${quoteLiteral(pid)}::int) a
     where a.backend_xid = ${quoteLiteral(transaction)}::xid8::xid
       and a.pid || '@' || ${startedSql('a.backend_start')} = ${quoteLiteral(backend)}`
}
