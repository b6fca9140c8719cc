import { unitName, versionName } from '@tidemark/core/adapter'
import type { ListedUnit, OpenLetters, UnitFailure } from '@tidemark/core/operations'
import { isHeldUp, markProblem } from './mark-problem.ts'
import type { Problem } from './problem.ts'
import { behindOf, isFailing, isStandingStill, type ProjectionRow, type Version } from './projection-row.ts'
import type { Snapshot, SourceSnapshot } from './snapshot.ts'
import { ago, argument, count, duration, shortened } from './words.ts'

/** What is wrong with a source; pure, as all that follow. */
export function sourceProblems({ source, mark, unknown, nodes }: SourceSnapshot): readonly Problem[] {
  const problems: Problem[] = []
  if (mark !== undefined && isHeldUp(mark)) problems.push(markProblem(mark))
  if (unknown !== undefined) {
    problems.push({
      code: 'mark_unknown',
      what: `The mark of ${source} is not known: ${shortened(unknown.replaceAll(/\s*\n\s*/g, ' '), 400)}`,
      next: [`tidemark doctor --table ${argument(source)}`],
    })
  }
  if (nodes !== undefined && nodes.nodes.length > 0 && nodes.unowned.length > 0) {
    problems.push({
      code: 'no_node',
      what: `No node that is alive has ${listed(nodes.unowned.map(unitName))}.`,
      next: [
        'tidemark nodes',
        'Start a node that has the handlers, or wait until another one takes them: it does once their lease has ended.',
      ],
    })
  }
  return problems
}

/** What is wrong with a version that is behind, and fails or does not move. */
export function standingProblems(
  { units, source }: Version,
  row: ProjectionRow | undefined,
  { atMs }: Snapshot,
): readonly Problem[] {
  if (row?.state !== 'stands' && row?.state !== 'fails') return []
  return units.flatMap((unit) => {
    const behind = behindOf(unit, source?.mark)
    if (isFailing(unit, behind, atMs)) return failingProblem(unit, behind, atMs)
    return isStandingStill(unit, behind, atMs) ? standingProblem(unit, behind ?? 0n, atMs) : []
  })
}

function standingProblem(unit: ListedUnit, behind: bigint, atMs: number): Problem {
  const since = duration(atMs - (unit.changedAtMs ?? atMs))
  const where = `${unitName(unit.unit)} stands at ${placeOf(unit)}, ${count(behind, 'position')} behind the mark, for ${since}`
  if (unit.isBegun === false) {
    return {
      code: 'no_daemon',
      what: `${where}: no daemon works on it; the last one was stopped in order, or none was ever started.`,
      next: ['Start a daemon that has it.'],
    }
  }
  return {
    code: 'projection_stands',
    what: `${where}: its daemon hangs, or is gone, or its batch takes long. It has told of no failure there.`,
    next: [
      'See whether its daemon runs, and what its log says last.',
      'A daemon of an earlier version does not tell what fails: its log names the event and the error.',
    ],
  }
}

/** Keep the list short: what may be done about it, the likeliest first. */
function failingProblem(unit: ListedUnit, behind: bigint | null, atMs: number): readonly Problem[] {
  const { failure, isBegun } = unit
  if (failure === undefined) return []
  const { batch, isPaused, failures, sinceMs, node, stage } = failure
  const far = behind === null ? '' : `, ${count(behind, 'position')} behind the mark`
  const times = failures === 1 ? 'once' : `${failures} times`
  const state = isPaused ? ' It is paused by that, and tried seldom.' : ''
  const gone = isBegun === false ? ' No daemon works on it now.' : ''
  const argued = `${argument(unit.unit.projection)}${unit.unit.version === 1 ? '' : ` --version ${unit.unit.version}`}`
  const isOwn = stage === 'map' || stage === 'handle'
  const isOne = batch !== undefined && batch.firstPosition === batch.lastPosition
  return [
    {
      code: 'projection_fails',
      what:
        `${unitName(unit.unit)} fails ${whereOf(failure)}: ${errorOf(failure)}. It stands at ${placeOf(unit)}${far}, and has failed ` +
        `${times} in ${duration(atMs - sinceMs)}, as ${node} said ${ago(failure.atMs, atMs)}.${state}${gone}`,
      next: isOwn
        ? [
            'The whole error, with its stack: tidemark status --json',
            `If its handler is mended: deploy it. Or at once: tidemark projections pause ${argued} --why "..." and then resume.`,
            ...(isOne
              ? [
                  `If that event is worthless: tidemark projections skip ${argued} ${batch.firstPosition} --why "..."`,
                ]
              : []),
          ]
        : [
            'It is tried again by itself for as long as it takes: see that the store is up, and that the daemon may use it.',
          ],
    },
  ]
}

const placeOf = ({ position }: ListedUnit): string => position ?? 'its beginning'

const STORES: Readonly<Record<Exclude<UnitFailure['stage'], 'map' | 'handle'>, string>> = {
  read: 'to read its store',
  commit: 'to move its checkpoint',
}

/** `at position 4 (OrderPlaced)` */
function whereOf({ stage, batch }: UnitFailure): string {
  if (stage === 'read' || stage === 'commit') return STORES[stage]
  if (batch === undefined) return 'at an event'
  const { firstPosition, lastPosition, events, eventTypes } = batch
  const types = eventTypes.length === 0 ? '' : ` (${shortened(listed(eventTypes), 200)})`
  if (firstPosition === lastPosition) return `at position ${firstPosition}${types}`
  return `at one of ${count(events, 'event')}${types} at positions ${firstPosition} to ${lastPosition}`
}

function errorOf({ error: { name, message, code } }: UnitFailure): string {
  const text = message === '' ? name : `${name}: ${message}`
  return `${shortened(text.replaceAll(/\s*\n\s*/g, ' '), 300)}${code === undefined ? '' : ` (${code})`}`
}

/** What waits for an operator. */
export function keptProblems(row: ProjectionRow, { letters, atMs }: Snapshot): readonly Problem[] {
  const name = versionName(row)
  const problems: Problem[] = []
  const oldest = letters.find((of) => of.projection === row.projection && of.version === row.version)
  if (oldest !== undefined && row.deadLetters > 0) problems.push(lettersProblem(name, row, oldest, atMs))
  if (row.lateEvents > 0) {
    problems.push({
      code: 'late_events',
      what: `${name} has missed ${count(row.lateEvents, 'late event')}: they became visible where it had passed.`,
      next: [`tidemark late --projection ${argument(row.projection)}`],
    })
  }
  return problems
}

function lettersProblem(
  name: string,
  { projection, deadLetters }: ProjectionRow,
  { oldestAtMs }: OpenLetters,
  nowMs: number,
): Problem {
  return {
    code: 'dead_letters',
    what: `${name} has ${count(deadLetters, 'open dead letter')}, the first of them for ${duration(nowMs - oldestAtMs)}.`,
    next: [`tidemark dead-letters list --projection ${argument(projection)}`],
  }
}

export function pausedProblems({
  state,
  pausedBy,
  projection,
  version,
  ...row
}: ProjectionRow): readonly Problem[] {
  if (state !== 'paused') return []
  const { who, why } = pausedBy ?? { who: 'somebody', why: 'its row says so, and not why' }
  const which = version === 1 ? '' : ` --version ${version}`
  const behind = row.behind === null ? '' : `, ${count(row.behind, 'position')} behind the mark`
  return [
    {
      code: 'paused',
      what: `${versionName({ projection, version })} was paused by ${who}: ${why}. It stands at ${row.position ?? 'its beginning'}${behind}.`,
      next: [`Ask ${who}, and then: tidemark projections resume ${argument(projection)}${which} --why "..."`],
    },
  ]
}

const MOST_LISTED = 5

function listed(names: readonly string[]): string {
  const more = names.length - MOST_LISTED
  return more > 0 ? `${names.slice(0, MOST_LISTED).join(', ')} and ${more} more` : names.join(', ')
}
