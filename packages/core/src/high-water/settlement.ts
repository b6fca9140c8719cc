import type { Gap } from '../ports/event-source.ts'

/**
 * The settlement proof (docs/proof.md), as a pure function: what one poll saw -> how far it is safe to read.
 *
 * `undefined` is the *floor*: below every number, 0 and negatives included.
 */
export interface Settlement {
  /** Every number up to here is visible or proven empty. */
  readonly settled: bigint | undefined
  /** The last visible event at or below `settled`. */
  readonly mark: bigint | undefined
  /** `v` of the last poll; the floor before the first poll of an incarnation. */
  readonly lastHandedOut: bigint | undefined
  /** The last poll's bound: every number up to here belongs to a transaction that has ended. */
  readonly bound: bigint | undefined
  /** For each transaction that holds the sequence's lock: all of its numbers lie above this. */
  readonly holderBounds: ReadonlyMap<string, bigint | undefined>
}

/** What one poll saw, its steps taken strictly in this order. */
export interface SettlementPoll {
  /** Step 1, `v`: the last number handed out. */
  readonly lastHandedOut: bigint
  /** Step 2, `W`: the transactions that hold the sequence's lock, those already ended left out. */
  readonly holders: readonly string[]
  /** Step 3: the visible positions above the previous `settled`, ascending. */
  readonly visible: readonly bigint[]
  /** How far step 3 has looked: every visible position up to here is in `visible`. The floor where it was left out. */
  readonly windowEnd: bigint | undefined
}

export interface SettlementResult {
  readonly settlement: Settlement
  /** Positions that no transaction can fill any more. */
  readonly provenEmpty: readonly Gap<bigint>[]
  /** Open gaps within the window. */
  readonly gaps: readonly Gap<bigint>[]
  /**
   * The window does not show the mark: it ends below `settled`, or no mark is known yet. The mark is then the last
   * visible position up to `settled`, and has to be looked up after the poll.
   */
  readonly markNeedsLookup: boolean
}

/** The state before the first poll of an incarnation. `settled` is what a checkpoint store remembers, if anything. */
export function startSettlement(settled: bigint | undefined): Settlement {
  return { settled, mark: undefined, lastHandedOut: undefined, bound: undefined, holderBounds: new Map() }
}

export function settle(previous: Settlement, poll: SettlementPoll): SettlementResult {
  const holderBounds = boundHolders(previous, poll.holders)
  const bound = leastBound(holderBounds, poll.lastHandedOut)
  const proven = greater(previous.settled, bound)
  const settled = endOfVisibleRun(proven, poll.visible)

  const mark = greater(previous.mark, lastAtOrBelow(poll.visible, settled))
  const windowCovers = poll.windowEnd !== undefined && settled !== undefined && settled <= poll.windowEnd
  const markNeedsLookup = settled !== undefined && (mark === undefined || !windowCovers)

  return {
    settlement: { settled, mark, lastHandedOut: poll.lastHandedOut, bound, holderBounds },
    provenEmpty: missingRuns(previous.settled, lesser(bound, poll.windowEnd), poll.visible),
    gaps: missingRuns(settled, lesser(poll.lastHandedOut, poll.windowEnd), poll.visible),
    markNeedsLookup,
  }
}

/**
 * The settlement with the mark that was looked up after the poll. The mark never falls, even if its row was archived.
 */
export function withMark(settlement: Settlement, lookedUp: bigint | undefined): Settlement {
  return { ...settlement, mark: greater(settlement.mark, lookedUp) }
}

function boundHolders(previous: Settlement, holders: readonly string[]): Map<string, bigint | undefined> {
  const bounds = new Map<string, bigint | undefined>()
  for (const holder of holders) {
    if (previous.holderBounds.has(holder)) bounds.set(holder, previous.holderBounds.get(holder))
    // It was prepared before a restart, so it may hold any number that was still open at the previous poll. It cannot
    // be matched with the holder that vanished: a new session may already have that holder's old id.
    else if (wasRecovered(holder)) bounds.set(holder, previous.bound)
    // It took its lock, hence all of its numbers, after the previous poll read `v`: that poll did not see it in `W`.
    else bounds.set(holder, previous.lastHandedOut)
  }
  return bounds
}

/** A prepared transaction that a restart recovered has no backend of its own: `virtualtransaction` is `-1/xid`. */
function wasRecovered(holder: string): boolean {
  return holder.startsWith('-1/')
}

function leastBound(
  bounds: ReadonlyMap<string, bigint | undefined>,
  lastHandedOut: bigint,
): bigint | undefined {
  let least: bigint | undefined = lastHandedOut
  for (const bound of bounds.values()) {
    if (bound === undefined) return undefined
    if (bound < least) least = bound
  }
  return least
}

function endOfVisibleRun(start: bigint | undefined, visible: readonly bigint[]): bigint | undefined {
  if (start === undefined) return undefined
  let end = start
  for (const position of visible) {
    if (position <= end) continue
    if (position !== end + 1n) break
    end = position
  }
  return end
}

/** The runs of integers in `(after, upTo]` that `visible` lacks. None, if `after` is the floor. */
function missingRuns(
  after: bigint | undefined,
  upTo: bigint | undefined,
  visible: readonly bigint[],
): readonly Gap<bigint>[] {
  if (after === undefined || upTo === undefined) return []
  const runs: Gap<bigint>[] = []
  let next = after + 1n
  for (const position of visible) {
    if (position < next) continue
    if (position > upTo) break
    if (position > next) runs.push({ from: next, to: position - 1n })
    next = position + 1n
  }
  if (next <= upTo) runs.push({ from: next, to: upTo })
  return runs
}

function lastAtOrBelow(visible: readonly bigint[], limit: bigint | undefined): bigint | undefined {
  if (limit === undefined) return undefined
  return visible.findLast((position) => position <= limit)
}

function greater(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined) return b
  return b === undefined || b <= a ? a : b
}

function lesser(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return undefined
  return a < b ? a : b
}
