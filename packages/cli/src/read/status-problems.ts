import { unitName, versionName } from '@tidemark/core/adapter'
import type { OpenLetters } from '@tidemark/core/operations'
import { argument, count, duration, shortened } from '../words.ts'
import { isHeldUp, markProblem } from './mark-problem.ts'
import type { Problem } from './problem.ts'
import { behindOf, isStandingStill, type ProjectionRow, type Version } from './projection-row.ts'
import type { Snapshot, SourceSnapshot } from './snapshot.ts'

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

/** What is wrong with a version that is behind and does not move. */
export function standingProblems(
  { units, source }: Version,
  row: ProjectionRow | undefined,
  { atMs }: Snapshot,
): readonly Problem[] {
  if (row?.state !== 'stands') return []
  const standing = units.filter((unit) => isStandingStill(unit, behindOf(unit, source?.mark), atMs))
  return standing.map((unit) => {
    const name = unitName(unit.unit)
    const behind = behindOf(unit, source?.mark) ?? 0n
    const since = duration(atMs - (unit.changedAtMs ?? atMs))
    const where = `${name} stands at ${unit.position ?? 'its beginning'}, ${count(behind, 'position')} behind the mark, for ${since}`
    if (unit.isBegun === false) {
      return {
        code: 'no_daemon',
        what: `${where}: no daemon works on it; the last one was stopped in order, or none was ever started.`,
        next: ['Start a daemon that has it.'],
      }
    }
    return {
      code: 'projection_stands',
      what: `${where}: its daemon fails at an event, hangs, or is gone.`,
      next: [
        `The log of its daemon names the event at which it fails, and the error. It is not the one at ${unit.position ?? 'its beginning'}, which was handled.`,
        `If it fails at one event that is worthless: tidemark projections skip ${argument(row.projection)} POSITION --why "..."`,
        `If its handler is mended: tidemark projections pause ${argument(row.projection)} --why "..." and then resume: it tries at once.`,
      ],
    }
  })
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
