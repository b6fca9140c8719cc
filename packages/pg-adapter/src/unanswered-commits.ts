import { type Unit, unitKey } from '@tidemark/core/adapter'
import type { PgClient } from './client.ts'
import { CommitPendingError } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'

interface SentCommit {
  readonly transaction: string
  readonly pid: string
}

/**
 * The commits that were sent and not answered, by unit. One that waits for a synchronous standby goes on holding
 * the checkpoint's lock, which would pass for that of another owner.
 */
export class UnansweredCommits {
  readonly #sent = new Map<string, SentCommit>()

  add(unit: Unit, commit: SentCommit): void {
    this.#sent.set(unitKey(unit), commit)
  }

  /** Throws while it is the unit's own commit that goes on. */
  async requireEnded(client: PgClient, unit: Unit): Promise<void> {
    const commit = this.#sent.get(unitKey(unit))
    if (commit === undefined) return
    const { rows } = await client.query(
      `select pg_xact_status(${quoteLiteral(commit.transaction)}::xid8)::text as status,
         (select concat_ws(' ', a.wait_event_type, a.wait_event)
          from pg_stat_get_activity(${quoteLiteral(commit.pid)}::int) a) as "waitsFor"`,
    )
    const { status, waitsFor } = rows[0] ?? {}
    if (status === 'in progress')
      throw new CommitPendingError(unit.projection, commit.pid, String(waitsFor ?? ''))
    this.#sent.delete(unitKey(unit))
  }
}
