import type { Gap, HighWaterReading, Holder } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { ClosedGap } from '../telemetry/telemetry.ts'

/** An open gap, when it was first seen, and who holds it up. For operators, never for the mark. */
export interface AgedGap<P> extends Gap<P> {
  readonly firstSeenMs: number
  readonly holders: readonly Holder[]
}

/** What is remembered between polls. */
export interface GapAges<P> {
  readonly open: readonly AgedGap<P>[]
  /**
   * Heads of former polls, oldest first. A missing position is as old as the first of them that stood at or above it.
   * Overlap with an older gap says nothing: under load gaps run into each other.
   */
  readonly heads: readonly { readonly head: P; readonly atMs: number }[]
}

export interface GapChanges<P> extends GapAges<P> {
  readonly closed: readonly (ClosedGap & { readonly gap: Gap<P> })[]
}

export const NO_GAPS: GapAges<never> = { open: [], heads: [] }

/** Beyond this every second head is dropped: ages of gaps not yet seen may then come out a little too young. */
const MOST_HEADS = 128

export function ageGaps<P>(
  order: PositionOrder<P>,
  known: GapAges<P>,
  reading: HighWaterReading<P>,
  nowMs: number,
): GapChanges<P> {
  const heads = sampleHeads(order, known.heads, reading, nowMs)
  const firstSeenMs = (gap: Gap<P>): number | undefined =>
    known.open.find((old) => order.compare(old.from, gap.from) === 0)?.firstSeenMs ??
    heads.find(({ head }) => order.compare(gap.from, head) <= 0)?.atMs

  const open = reading.gaps.map((gap) => ({
    from: gap.from,
    to: gap.to,
    firstSeenMs: firstSeenMs(gap) ?? nowMs,
    holders: reading.holders,
  }))
  const closed = known.open.flatMap((old) => {
    const gap = closedPart(order, old, reading)
    if (!gap) return []
    const openForMs = nowMs - old.firstSeenMs
    return [{ gap, outcome: outcomeOf(order, gap, reading), openForMs, holders: old.holders }]
  })
  return { open, heads, closed }
}

/** All of a gap that is no longer open; otherwise the part that has settled. */
function closedPart<P>(
  order: PositionOrder<P>,
  old: Gap<P>,
  { gaps, settled }: HighWaterReading<P>,
): Gap<P> | undefined {
  if (!gaps.some((gap) => overlaps(order, gap, old))) return { from: old.from, to: old.to }
  if (settled === undefined || !isReached(order, old.from, settled)) return undefined
  return { from: old.from, to: settled }
}

function outcomeOf<P>(
  order: PositionOrder<P>,
  gap: Gap<P>,
  reading: HighWaterReading<P>,
): ClosedGap['outcome'] {
  const isSkipped = reading.skipped.some(
    ({ stored, current }) => order.compare(stored, gap.to) < 0 && order.compare(gap.from, current) < 0,
  )
  if (isSkipped) return 'skipped'
  return reading.provenEmpty.some((empty) => overlaps(order, empty, gap)) ? 'proven_empty' : 'filled'
}

function overlaps<P>(order: PositionOrder<P>, a: Gap<P>, b: Gap<P>): boolean {
  return order.compare(a.from, b.to) <= 0 && order.compare(b.from, a.to) <= 0
}

function sampleHeads<P>(
  order: PositionOrder<P>,
  known: GapAges<P>['heads'],
  { head, settled }: HighWaterReading<P>,
  nowMs: number,
): GapAges<P>['heads'] {
  const aboveSettled = known.filter((sample) => !isReached(order, sample.head, settled))
  const newest = aboveSettled.at(-1)?.head ?? settled
  if (head === undefined || isReached(order, head, newest)) return aboveSettled
  const heads = [...aboveSettled, { head, atMs: nowMs }]
  return heads.length > MOST_HEADS ? heads.filter((_, index) => index % 2 === 0) : heads
}
