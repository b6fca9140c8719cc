import { duration } from '../audit/duration.ts'
import { watchLive } from '../audit/live.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { Finding } from './finding.ts'

/** How long commits take to become visible, of the events that come while this looks. */
export async function commitsFinding(
  events: ResolvedPostgresEventsOptions<unknown>,
  forMs: number,
  signal: AbortSignal,
): Promise<Finding> {
  const { inversions, looks, stillMissing } = await watchLive(events, { forMs, waitsMs: [0], signal })
  const told = { code: 'commits_seen', about: events.sql.table } as const
  const [longest] = inversions.longest
  const missing =
    stillMissing === 0 ? '' : `; ${stillMissing} numbers have no event: rolled back, or still open`
  const looked = `came in ${duration(forMs)} (${looks} looks)`
  if (inversions.events === 0) {
    const found = `no event ${looked}, so nothing was seen of how they commit${missing}`
    return { ...told, severity: 'note', found }
  }
  const seen = `${inversions.events} events ${looked}${missing}`
  if (longest === undefined) {
    return { ...told, severity: 'note', found: `${seen}; none was seen missing below a higher position` }
  }
  const late = `${inversions.inverted} of them after a higher position, the slowest more than ${duration(longest.delayMs)} later`
  return {
    ...told,
    severity: 'warning',
    found: `${seen}; ${late}`,
    expected: 'readers that wait for writers',
    toDo: 'A reader that remembers the highest position it has seen loses such events. auditCommits counts them.',
  }
}
