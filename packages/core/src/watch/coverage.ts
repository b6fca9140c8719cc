import type { ConsumerCheckpoint } from '../ports/consumer-checkpoints.ts'
import type { VisibleEvent } from '../ports/watch-source.ts'

type Placed = Pick<VisibleEvent, 'position' | 'transaction'>

/** Whether a consumer with that checkpoint reads the event no more. */
export function hasPassed(checkpoint: ConsumerCheckpoint, { position, transaction }: Placed): boolean {
  switch (checkpoint.kind) {
    case 'position':
      return position <= checkpoint.position
    case 'gaps':
      return position <= checkpoint.position && !checkpoint.gaps.includes(position)
    case 'pair':
      return transaction !== undefined && comparePairs({ transaction, position }, checkpoint) <= 0
  }
}

/** Whether a consumer of that category reads the event at all; without a category it reads every one. */
export function isOfCategory({ stream }: VisibleEvent, category: string | undefined): boolean {
  return category === undefined || stream === category || (stream?.startsWith(`${category}-`) ?? false)
}

/** Whether a consumer of those types handles the event; `undefined`: it is not known, so it may. */
export function isOfTypes({ type }: VisibleEvent, types: readonly string[] | 'all' | undefined): boolean {
  return types === undefined || types === 'all' || (type !== undefined && types.includes(type))
}

/** How many of these positions it has passed; `undefined` where that hangs on who fills them. */
export function countPassed(
  checkpoint: ConsumerCheckpoint,
  runs: readonly { readonly from: bigint; readonly to: bigint }[],
): bigint | undefined {
  if (checkpoint.kind === 'pair') return undefined
  let count = 0n
  for (const { from, to } of runs) {
    if (from > checkpoint.position) continue
    const isWhole = to <= checkpoint.position
    count += isWhole ? to - from + 1n : checkpoint.position - from + 1n
  }
  if (checkpoint.kind === 'position') return count
  const isExposedOtherwise = (gap: bigint): boolean =>
    gap <= checkpoint.position && runs.some(({ from, to }) => from <= gap && gap <= to)
  return count - BigInt(new Set(checkpoint.gaps.filter(isExposedOtherwise)).size)
}

export type Move = 'none' | 'forward' | 'backward' | 'other_kind'

export function moveBetween(before: ConsumerCheckpoint, after: ConsumerCheckpoint): Move {
  if (before.kind === 'position' && after.kind === 'position') {
    return moveOf(after.position - before.position)
  }
  if (before.kind === 'pair' && after.kind === 'pair') return moveOf(comparePairs(after, before))
  if (before.kind === 'gaps' && after.kind === 'gaps') {
    const [kept, now] = [new Set(before.gaps), new Set(after.gaps)]
    const isGivenUp = (gap: bigint): boolean => gap <= before.position && !kept.has(gap)
    // What was passed is not passed any more.
    if (after.gaps.some(isGivenUp)) return 'backward'
    const move = moveOf(after.position - before.position)
    if (move !== 'none') return move
    return before.gaps.every((gap) => now.has(gap)) ? 'none' : 'forward'
  }
  return 'other_kind'
}

interface Pair {
  readonly transaction: bigint
  readonly position: bigint
}

function comparePairs(a: Pair, b: Pair): bigint {
  return a.transaction === b.transaction ? a.position - b.position : a.transaction - b.transaction
}

function moveOf(difference: bigint): Move {
  return difference === 0n ? 'none' : difference > 0n ? 'forward' : 'backward'
}
