import type { PgClient } from './client.ts'
import { CommitPendingError } from './errors.ts'
import { quoteLiteral } from './identifiers.ts'

interface SentCommit {
  readonly transaction: string
  readonly pid: string
}

/**
 * The commits that were sent and not answered, by projection. One that waits for a synchronous standby goes on holding
 * the checkpoint's lock, which would pass for that of another owner.
 */
export class UnansweredCommits {
  readonly #sent = new Map<string, SentCommit>()

  add(projection: string, commit: SentCommit): void {
    this.#sent.set(projection, commit)
  }

  /** Throws while it is the projection's own commit that goes on. */
  async requireEnded(client: PgClient, projection: string): Promise<void> {
    const commit = this.#sent.get(projection)
    if (commit === undefined) return
    const { rows } = await client.query(
      `select pg_xact_status(${quoteLiteral(commit.transaction)}::xid8)::text as status,
         (select concat_ws(' ', a.wait_event_type, a.wait_event)
          from pg_stat_get_activity(${quoteLiteral(commit.pid)}::int) a) as "waitsFor"`,
    )
    const { status, waitsFor } = rows[0] ?? {}
    if (status === 'in progress') throw new CommitPendingError(projection, commit.pid, String(waitsFor ?? ''))
    this.#sent.delete(projection)
  }
}
