import { withJson } from '@tidemark/core/adapter'
import type { CommitAudit } from './answer.ts'
import { cannotTell } from './cannot-tell.ts'
import { watchLive } from './live.ts'
import { type AuditCommitsOptions, resolveAuditOptions } from './options.ts'
import { readPast } from './past.ts'
import { readStanding } from './standing.ts'

/**
 * In which order the events of a table were committed, and so what readers that do not wait for open transactions have lost, or
 * could lose. It only reads, holds no transaction open, and works with any reader; that one need not be known.
 *
 * On a server with `track_commit_timestamp = on` it reads when each event was committed. An event is *inverted* where an event
 * with a higher position was committed first: a reader that had passed the higher position by then never comes back to it. Its
 * *delay* is the time from the first such commit to its own. A reader that waits at each gap for a fixed time loses the events
 * whose delay is longer than that time, if it looks as soon as the higher position is there. Events of one transaction are
 * committed at one time and are never inverted among themselves.
 *
 * Elsewhere it watches new events for `liveMs`: which positions are missing while a higher one is visible, and how long.
 *
 * On every server it compares transaction ids with positions, for readers that read behind `xmin` and keep a position (Emmett
 * 0.42). Such a reader passes an event once its transaction is older than every open one. It loses an event if an older
 * transaction has a higher position, and it looks while that one is passed and the event's own is not. `behindXmin.atRisk`
 * counts the events with an older transaction above them: an upper bound. `behindXmin.wereOpen` counts those of them that were
 * committed after that older transaction. Ids are those of the rows' `xmin`.
 *
 * Rows that were not committed by their insert say nothing. They are left out, counted by what told of it. What was left out is
 * not compared with anything, so no inversion comes of it. Where nothing can tell of updates, `cannotTell` says so.
 *
 * @throws PostgresConditionError if there is no such table or column, or it cannot be read
 */
export async function auditCommits(options: AuditCommitsOptions): Promise<CommitAudit> {
  const resolved = resolveAuditOptions(options)
  const standing = await readStanding(resolved)
  const past = await readPast(resolved, standing)
  const live = standing.hasTimestamps
    ? undefined
    : await watchLive(standing.events, {
        forMs: resolved.liveMs,
        waitsMs: resolved.waitsMs,
        onProgress: resolved.onProgress,
        signal: resolved.signal,
      })
  const audit: CommitAudit = {
    table: standing.events.sql.table,
    measured: standing.hasTimestamps ? 'commit_timestamps' : 'live',
    past,
    live,
    isReadBehindXmin: resolved.insertedBy !== undefined,
    cannotTell: cannotTell(resolved, standing, past),
  }
  return withJson(audit, () => ({ ...audit }))
}
