import type { Mark } from './mark.ts'
import { isHeldUp } from './mark-problem.ts'
import type { About, Problem } from './problem.ts'
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

function aboutAll(
  problems: readonly Problem[],
  of: { readonly source: string; readonly projection?: string; readonly version?: number },
): readonly { readonly problem: Problem; readonly about: About }[] {
  const about = { source: of.source, projection: of.projection ?? null, version: of.version ?? null }
  return problems.map((problem) => ({ problem, about }))
}

/** What each of its problems is about, in their order. */
export interface StatusAbout extends Status {
  readonly abouts: readonly About[]
}

/** Pure. */
export function statusOf(snapshot: Snapshot): StatusAbout {
  const versions = versionsOf(snapshot)
  const projections = versions.map((version) => rowOf(version, snapshot))
  const found = [
    ...snapshot.sources.map((source) => aboutAll(sourceProblems(source), source)),
    ...versions.map((version, n) => {
      const row = projections[n]
      return row === undefined ? [] : aboutAll(standingProblems(version, row, snapshot), row)
    }),
    ...projections.map((row) => aboutAll(keptProblems(row, snapshot), row)),
    ...projections.map((row) => aboutAll(pausedProblems(row), row)),
  ].flat()
  const problems = found.map(({ problem }) => problem)
  return {
    atMs: snapshot.atMs,
    healthy: problems.length === 0,
    problems,
    abouts: found.map(({ about }) => about),
    notes: notesOf(snapshot, projections),
    marks: snapshot.sources.flatMap(({ mark }) => (mark === undefined ? [] : markRow(mark))),
    projections,
  }
}

function markRow(mark: Mark): MarkRow {
  const { source, table, isProven, head = null, settled = null, mark: at = null } = mark
  return { source, table, stands: isHeldUp(mark), isProven, head, settled, mark: at }
}
