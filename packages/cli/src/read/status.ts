import type { Mark } from './mark.ts'
import { isHeldUp } from './mark-problem.ts'
import type { Problem } from './problem.ts'
import { type ProjectionRow, rowOf, versionsOf } from './projection-row.ts'
import type { Snapshot } from './snapshot.ts'
import { notesOf } from './status-notes.ts'
import { keptProblems, pausedProblems, sourceProblems, standingProblems } from './status-problems.ts'

interface MarkRow {
  readonly source: string
  readonly table: string
  readonly stands: boolean
  readonly isProven: boolean
  readonly head: bigint | null
  readonly settled: bigint | null
  readonly mark: bigint | null
}

/** What `tidemark status --json` prints. */
export interface Status {
  readonly atMs: number
  readonly healthy: boolean
  /** The worst first. */
  readonly problems: readonly Problem[]
  readonly notes: readonly string[]
  readonly marks: readonly MarkRow[]
  readonly projections: readonly ProjectionRow[]
}

/** Pure. */
export function statusOf(snapshot: Snapshot): Status {
  const versions = versionsOf(snapshot)
  const projections = versions.map((version) => rowOf(version, snapshot))
  const problems = [
    ...snapshot.sources.flatMap(sourceProblems),
    ...versions.flatMap((version, n) => standingProblems(version, projections[n], snapshot)),
    ...projections.flatMap((row) => keptProblems(row, snapshot)),
    ...projections.flatMap(pausedProblems),
  ]
  return {
    atMs: snapshot.atMs,
    healthy: problems.length === 0,
    problems,
    notes: notesOf(snapshot, projections),
    marks: snapshot.sources.flatMap(({ mark }) => (mark === undefined ? [] : markRow(mark))),
    projections,
  }
}

function markRow(mark: Mark): MarkRow {
  const { source, table, isProven, head = null, settled = null, mark: at = null } = mark
  return { source, table, stands: isHeldUp(mark), isProven, head, settled, mark: at }
}
