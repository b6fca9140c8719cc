import { isWhole, unitName, versionName } from '@tidemark/core/adapter'
import type { AuditEntry, OperationName, Outcome } from '@tidemark/core/operations'
import { argument } from './words.ts'

/** What an operation has come to; pure. `name`: the projection, where there is no entry that says it. */
export function formatOutcome(name: string, { outcome, entry }: Outcome): readonly string[] {
  if (entry === undefined) return [`${name}: it was so already. Nothing was changed.`]
  const { told, next = [] } = DONE[entry.operation](entry)
  const already = outcome === 'already' ? ` ${entry.who} had asked for that before.` : ''
  return [`${told}.${already}`, ...next, `Audit entry ${entry.id}, by ${entry.who}: ${entry.why}`]
}

interface Told {
  readonly told: string
  /** What follows from it, and what to do next. */
  readonly next?: readonly string[]
}

/** What is done to a projection is done to each of its shards, which may stand apart; the entry is that of the last one. */
function does(entry: AuditEntry, verb: string, where: string): string {
  const { unit } = entry
  if (isWhole(unit.slots)) return `${unitName(unit)} ${verb}${where}`
  return `${versionName(unit)} ${verb}, with all of its shards`
}

const before = ({ before: { position } }: AuditEntry): string => position ?? 'its beginning'
const after = ({ after: state }: AuditEntry): string => state?.position ?? 'its beginning'

/** The command that does something else to it. One that is retired has another version beside it. */
function command(operation: string, { operation: done, unit: { projection, version } }: AuditEntry): string {
  const which = version === 1 && done !== 'retire' ? '' : ` --version ${version}`
  return `tidemark projections ${operation} ${argument(projection)}${which} --why "..."`
}

const DONE: Readonly<Record<OperationName, (entry: AuditEntry) => Told>> = {
  pause: (entry) => ({
    told: does(entry, 'is paused', `, at ${after(entry)}`),
    next: [`It stands still until: ${command('resume', entry)}`],
  }),
  resume: (entry) => ({
    told: does(entry, 'is resumed', `, at ${after(entry)}`),
    next: [
      entry.before.role === 'retired'
        ? 'It goes on beside the live version, within a second, if a daemon has it.'
        : 'It goes on within a second, if a daemon has it: tidemark status',
    ],
  }),
  move: (entry) => ({
    told: does(entry, 'was moved', ` from ${before(entry)} to ${after(entry)}`),
    next: [`It is still paused. To let it go on: ${command('resume', entry)}`],
  }),
  retire: (entry) => ({
    told: does(entry, 'is retired', `, at ${after(entry)}`),
    next: [
      'It stands still for good, and its checkpoint is kept.',
      `To bring it back beside the live version: ${command('resume', entry)}`,
      `To delete its checkpoint: ${command('forget', entry)}`,
    ],
  }),
  forget: (entry) => ({
    told: does(entry, 'is forgotten', `: its checkpoint, which was at ${before(entry)}, is deleted`),
    next: ['A daemon that still has it begins it anew, from the first event.'],
  }),
  cancel: (entry) => ({
    told: does(entry, 'is asked for nothing any more', ': what was asked is withdrawn'),
  }),
  rebuild: (entry) => ({
    told: does(entry, 'was reset', ''),
    next: ['It handles its events again from the first one. How far it is: tidemark status --watch'],
  }),
  switch: (entry) => ({
    told: does(entry, 'is the live version now', `, at ${after(entry)}`),
    next: [
      'The version that was live before goes on beside it. To switch back: the same command with that version.',
    ],
  }),
  skip: (entry) => ({
    told: `${unitName(entry.unit)} has passed the event at which it failed, and stands at ${after(entry)}`,
    next: [
      `The event is not handled. A dead letter keeps it: tidemark dead-letters list --projection ${argument(entry.unit.projection)}`,
    ],
  }),
  reshard: (entry) => ({
    told: isWhole(entry.unit.slots)
      ? `${unitName(entry.unit)} is one shard now, at ${after(entry)}`
      : `${versionName(entry.unit)} is cut anew, and goes on from where it stood`,
    next: ['Daemons notice it by themselves.'],
  }),
  reprocess: (entry) => ({ told: does(entry, 'was given its late events', '') }),
  discard_late_events: (entry) => ({ told: does(entry, 'is not given its late events any more', '') }),
}
