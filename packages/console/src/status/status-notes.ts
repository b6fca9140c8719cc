import { versionName } from '@tidemark/core/adapter'
import { isHeldUp, isStanding } from './mark-problem.ts'
import type { ProjectionRow } from './projection-row.ts'
import type { Snapshot } from './snapshot.ts'
import { count } from './words.ts'

/** What is worth knowing and not wrong; pure. */
export function notesOf(
  { sources, hidden, units }: Snapshot,
  projections: readonly ProjectionRow[],
): readonly string[] {
  const notes: string[] = []
  if (units.length === 0) notes.push('There is no checkpoint yet: no daemon has started a projection.')
  for (const { mark } of sources) {
    if (mark?.isProven === false) {
      notes.push(
        `Numbers of ${mark.table} are taken ahead, so nothing is proven; behind is counted up to the head.`,
      )
    }
    if (mark !== undefined && isStanding(mark) && !isHeldUp(mark)) {
      notes.push(`A transaction of ${mark.table} is open at the head. No event waits for it yet.`)
    }
  }
  for (const { lost } of sources) {
    for (const { consumer, verdict, events } of lost) {
      const what = verdict === 'lost' ? 'has lost' : 'has passed, and perhaps lost,'
      notes.push(`${consumer}, which Tidemark does not run, ${what} ${count(events, 'event')}: tidemark lost`)
    }
  }
  for (const { asked, ...row } of projections) {
    if (asked === null) continue
    notes.push(
      `${asked.who} has asked for a ${asked.operation} of ${versionName(row)} (${asked.why}), and no daemon has done it yet.`,
    )
  }
  if (hidden.length > 0) notes.push(`Not shown, since this role may not read them: ${hidden.join(', ')}.`)
  return notes
}
