import type { ResolvedAuditOptions } from './options.ts'
import type { Past } from './past.ts'
import type { Standing } from './standing.ts'

/** From there on, an id of 32 bits may have been that of another transaction before. */
const ONE_ROUND = 2 ** 32

/** What speaks against relying on an audit, as sentences; pure. */
export function cannotTell(
  options: Pick<ResolvedAuditOptions, 'insertedBy' | 'rewritten'>,
  standing: Standing,
  past: Past,
): readonly string[] {
  const { hasTimestamps, hasIndex, nextTransaction } = standing
  const sentences = [
    ...updates(options, standing),
    hasTimestamps
      ? "A commit timestamp is the server's wall clock shortly before the commit is visible: a wait for a synchronous standby comes on top, and a clock that was set back makes later commits look earlier."
      : 'The server keeps no commit timestamps (track_commit_timestamp is off), so the delays of past events are not known. Turn it on, restart the server, and ask again after some days.',
  ]
  if (hasTimestamps && past.withoutTimestamp > 0) {
    sentences.push(
      'Rows without a timestamp are older than the setting, or vacuum has dropped their timestamps: their delays are not known.',
    )
  }
  if (hasTimestamps && nextTransaction >= ONE_ROUND && standing.events.appendedAt === undefined) {
    sentences.push(
      'This server has handed out more than 4,294,967,296 transaction ids: a very old row may be shown with the timestamp of a newer transaction of the same id. Name the column of the event time in the option appendedAt.',
    )
  }
  if (!hasIndex) {
    sentences.push(
      'The table has no index led by the position, so each page of 20,000 rows has read all of it.',
    )
  }
  return sentences
}

function updates(
  { insertedBy, rewritten }: Pick<ResolvedAuditOptions, 'insertedBy' | 'rewritten'>,
  { updates, updatesSince, events }: Standing,
): readonly string[] {
  if (insertedBy !== undefined) return []
  const since =
    updatesSince === undefined ? 'since its statistics began' : `since ${updatesSince.toISOString()}`
  if (updates === 0n) {
    return [
      `The server has counted no update of this table ${since}. What was updated before that looks as if it had been committed then.`,
    ]
  }
  const partly =
    rewritten === undefined
      ? 'nothing says which rows they were'
      : 'the option rewritten tells of those that it is true for'
  const orTime =
    events.appendedAt === undefined ? '' : ', and an update within an hour after the event cannot be told'
  return [
    `The server has counted ${updates.toLocaleString('en-US')} updates of this table ${since}, and ${partly}${orTime}. A row that was updated looks as if it had been committed then: it may be counted above though it was in order.`,
  ]
}
