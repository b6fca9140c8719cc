import type { ProjectionRow, ProjectionState } from '../../src/protocol.ts'

export type Column = 'state' | 'name' | 'behind' | 'rate' | 'changed' | 'dead letters'

export interface Order {
  readonly by: Column
  readonly isDescending: boolean
}

/** The worst first. */
const RANK: Readonly<Record<ProjectionState, number>> = {
  fails: 0,
  stands: 1,
  unknown: 2,
  paused: 3,
  works: 4,
  replays: 5,
  follows: 6,
  retired: 7,
}
export const STATES: readonly ProjectionState[] = (Object.keys(RANK) as ProjectionState[]).toSorted(
  (a, b) => RANK[a] - RANK[b],
)

export interface RowFilter {
  /** A part of the name, of an owner, or of the source, whatever the case. */
  readonly text: string
  readonly state: ProjectionState | ''
}

/** Pure. Rows that are alike in the column stay in the order of their names, so that nothing jumps. */
export function shownRows(
  rows: readonly ProjectionRow[],
  { text, state }: RowFilter,
  { by, isDescending }: Order,
): readonly ProjectionRow[] {
  const wanted = text.trim().toLowerCase()
  const isWanted = (row: ProjectionRow): boolean =>
    (state === '' || row.state === state) &&
    (wanted === '' ||
      [row.name, row.source, ...row.owners].some((each) => each.toLowerCase().includes(wanted)))
  const sign = isDescending ? -1 : 1
  return rows
    .filter(isWanted)
    .toSorted((a, b) => sign * COMPARE[by](a, b) || byText(a.name, b.name) || byText(a.source, b.source))
}

type Compare = (a: ProjectionRow, b: ProjectionRow) => number

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const by =
  (of: (row: ProjectionRow) => number): Compare =>
  (a, b) =>
    of(a) - of(b)

const COMPARE: Readonly<Record<Column, Compare>> = {
  name: (a, b) => byText(a.name, b.name),
  state: by(({ state, deadLetters }) => RANK[state] * 2 - (deadLetters > 0 ? 1 : 0)),
  behind: by(({ behind }) => (behind === null ? -1 : Number(behind))),
  rate: by(({ perSecond }) => perSecond ?? -1),
  changed: by(({ changedAtMs }) => changedAtMs ?? 0),
  'dead letters': by(({ deadLetters }) => deadLetters),
}
