import { isWhole, unitName, versionName } from '@tidemark/core/adapter'
import type { AuditEntry, OperationName, Outcome } from '@tidemark/core/operations'
import type { Line } from '../lines.ts'

/** What an operation has come to; pure. `name`: the projection, where there is no entry that says it. */
export function formatOutcome(name: string, { outcome, entry }: Outcome): readonly Line[] {
  if (entry === undefined) return [`${name}: it was so already. Nothing was changed.`]
  const told = `${nameOf(entry)} ${DONE[entry.operation](entry)}`
  const already = outcome === 'already' ? `, as ${entry.who} had asked for before` : ''
  return [
    { text: `${told}${already}.`, tone: 'good' },
    `Audit entry ${entry.id}, by ${entry.who}: ${entry.why}`,
  ]
}

/** What is done to a projection is done to each of its shards; the entry is that of the last one. */
function nameOf({ unit }: AuditEntry): string {
  return isWhole(unit.slots) ? unitName(unit) : `Each shard of ${versionName(unit)}`
}

const at = ({ after }: AuditEntry): string => after?.position ?? 'its beginning'

const DONE: Readonly<Record<OperationName, (entry: AuditEntry) => string>> = {
  pause: (entry) => `is paused, at ${at(entry)}`,
  resume: (entry) => `runs again, from ${at(entry)}`,
  move: (entry) => `stands at ${at(entry)} now, and was at ${entry.before.position ?? 'its beginning'}`,
  retire: (entry) => `is retired, at ${at(entry)}`,
  forget: (entry) => `is forgotten; it was at ${entry.before.position ?? 'its beginning'}`,
  cancel: () => 'is asked for nothing any more',
  rebuild: () => 'was reset, and handles its events again from the first one',
  switch: (entry) => `is the live version now, at ${at(entry)}`,
  skip: (entry) => `has passed the event, and stands at ${at(entry)}`,
  reshard: (entry) => `was made, and stands at ${at(entry)}`,
  reprocess: () => 'was given its late events',
  discard_late_events: () => 'is not given its late events any more',
}
