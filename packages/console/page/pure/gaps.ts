import type { Mark } from '../../src/protocol.ts'
import { KEPT_MS } from './history.ts'

/** A run of positions that were handed out and not settled, as it was seen. */
export interface GapSeen {
  readonly from: number
  readonly to: number
  readonly openedAtMs: number
  /** `undefined`: it is open. */
  readonly closedAtMs: number | undefined
  /** Those who could have filled it when it was seen last: which of them nobody can tell. */
  readonly holders: readonly string[]
}

/** As many as can be told apart in a picture. */
const MOST_KEPT = 200

/** Pure: gaps as they open, shrink and close. A part of a gap that was open has been open as long as that. */
export function trackGaps(
  before: readonly GapSeen[],
  { gaps, holders, unknown }: Pick<Mark, 'gaps' | 'holders' | 'unknown'>,
  atMs: number,
): readonly GapSeen[] {
  // A look that has failed tells nothing of them.
  if (unknown !== null) return before
  const open = before.filter(({ closedAtMs }) => closedAtMs === undefined)
  const now = gaps.map((gap): GapSeen => {
    const [from, to] = [Number(gap.from), Number(gap.to)]
    const part = open.find((each) => each.from <= to && from <= each.to)
    return {
      from,
      to,
      openedAtMs: part?.openedAtMs ?? atMs,
      closedAtMs: undefined,
      holders: holders.map(({ name }) => name),
    }
  })
  const closed = before
    .filter(
      ({ from, to, closedAtMs }) =>
        closedAtMs !== undefined || !now.some((gap) => gap.from <= to && from <= gap.to),
    )
    .map((gap) => ({ ...gap, closedAtMs: gap.closedAtMs ?? atMs }))
    .filter(({ closedAtMs }) => closedAtMs > atMs - KEPT_MS)
  return [...closed, ...now].slice(-MOST_KEPT)
}
