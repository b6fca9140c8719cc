import type { Gap, SkippedRun } from '../ports/event-source.ts'
import {
  boundOpen,
  freeUpTo,
  mayFill,
  NO_OLD_TRANSACTIONS,
  type OldTransactions,
} from './old-transactions.ts'

/**
 * The fallback policy, for stores where nobody can say who may still write a number: a gap older than a threshold is
 * skipped. A gap is as old as the first sampled head that stood above it. Where a poll says which transactions are open, a
 * gap is skipped only when none of them began before the gap was that old. Where it does not, the events of every
 * transaction that stays open for longer than the threshold are passed.
 */
export interface StaleThreshold {
  /** The last visible event that was passed. */
  readonly mark: bigint | undefined
  /** The position before the first one that the store hands out, where known: counting starts above it. */
  readonly origin: bigint | undefined
  /** Heads seen by former polls, oldest first; the first is the newest one that is older than the threshold. */
  readonly heads: readonly HeadSample[]
  /** The transactions that were open at the last poll. */
  readonly old: OldTransactions
}

export interface HeadSample {
  readonly head: bigint
  readonly atMs: number
}

export interface StaleThresholdPoll {
  /** The greatest visible position. */
  readonly head: bigint | undefined
  /** The visible positions above the mark, ascending; possibly not all of them. */
  readonly visible: readonly bigint[]
  /**
   * The transactions that were open before `head` and `visible` were read. A transaction keeps its name when it is prepared, or
   * gets one that begins with `-1/`. `undefined`: open transactions are not waited for.
   */
  readonly open?: readonly string[] | undefined
  /** Before the store was asked, in milliseconds of a clock that never goes back. */
  readonly askedAtMs: number
  /** When it had answered. */
  readonly answeredAtMs: number
}

export interface StaleThresholdResult {
  readonly state: StaleThreshold
  readonly skipped: readonly SkippedRun<bigint>[]
  readonly gaps: readonly Gap<bigint>[]
  /** The open transactions that the lowest gap waits for, once it is old enough. */
  readonly waitsFor: readonly string[]
}

/** Heads are sampled this many times a threshold, so that a hot poll does not keep thousands of them. */
const SAMPLES_PER_THRESHOLD = 50

export function startStaleThreshold(mark: bigint | undefined, origin: bigint | undefined): StaleThreshold {
  return { mark, origin, heads: [], old: NO_OLD_TRANSACTIONS }
}

export function passStaleGaps(
  previous: StaleThreshold,
  poll: StaleThresholdPoll,
  thresholdMs: number,
): StaleThresholdResult {
  const heads = sampleHeads(previous.heads, poll, thresholdMs)
  const staleUpTo = heads.findLast((head) => head.atMs <= poll.askedAtMs - thresholdMs)?.head
  const old = poll.open === undefined ? NO_OLD_TRANSACTIONS : boundOpen(previous.old, poll.open, staleUpTo)
  const skippedUpTo = poll.open === undefined ? staleUpTo : freeUpTo(old)
  const isSkipped = (position: bigint): boolean => skippedUpTo !== undefined && position <= skippedUpTo

  const skipped: SkippedRun<bigint>[] = []
  const gaps: Gap<bigint>[] = []
  let mark = previous.mark
  let last = previous.mark ?? originBelow(poll.visible, previous.origin)
  for (const position of poll.visible) {
    if (last !== undefined && position <= last) continue
    const missing = last === undefined ? 0n : position - last - 1n
    const stored = last ?? position - 1n
    last = position
    if (gaps.length > 0 || (missing > 0n && !isSkipped(position))) {
      if (missing > 0n) gaps.push({ from: stored + 1n, to: position - 1n })
      continue
    }
    if (missing > 0n) skipped.push({ stored, current: position, count: missing })
    mark = position
  }
  const [lowest] = gaps
  const waits = lowest !== undefined && staleUpTo !== undefined && lowest.to < staleUpTo
  return {
    state: { ...previous, mark, heads, old },
    skipped,
    gaps,
    waitsFor: waits ? mayFill(old, lowest.to + 1n) : [],
  }
}

/** Rows imported with positions below the first one handed out are events too: counting then starts at the first. */
function originBelow(visible: readonly bigint[], origin: bigint | undefined): bigint | undefined {
  const first = visible[0]
  return origin !== undefined && first !== undefined && first <= origin ? undefined : origin
}

function sampleHeads(
  heads: readonly HeadSample[],
  { head, askedAtMs, answeredAtMs }: StaleThresholdPoll,
  thresholdMs: number,
): readonly HeadSample[] {
  const newest = heads.at(-1)
  const due = newest === undefined || answeredAtMs - newest.atMs >= thresholdMs / SAMPLES_PER_THRESHOLD
  const moved = head !== undefined && (newest === undefined || head > newest.head)
  // It may have come to stand there at the last moment.
  const seen = due && moved ? [...heads, { head, atMs: answeredAtMs }] : heads
  const newestOld = seen.findLastIndex((sample) => sample.atMs <= askedAtMs - thresholdMs)
  return newestOld > 0 ? seen.slice(newestOld) : seen
}
