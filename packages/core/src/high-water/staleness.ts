import type { Gap, SkippedRun } from '../ports/event-source.ts'

/**
 * The fallback policy, for stores where nobody can say who may still write a number: a gap older than a threshold is
 * skipped. It loses the events of every transaction that stays open for longer. A gap is as old as the first sampled
 * head that stood above it.
 */
export interface StaleThreshold {
  /** The last visible event that was passed. */
  readonly mark: bigint | undefined
  /** The position before the first one that the store hands out, where known: counting starts above it. */
  readonly origin: bigint | undefined
  /** Heads seen by former polls, oldest first; the first is the newest one that is older than the threshold. */
  readonly heads: readonly HeadSample[]
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
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: number
}

export interface StaleThresholdResult {
  readonly state: StaleThreshold
  readonly skipped: readonly SkippedRun<bigint>[]
  readonly gaps: readonly Gap<bigint>[]
}

/** Heads are sampled this many times a threshold, so that a hot poll does not keep thousands of them. */
const SAMPLES_PER_THRESHOLD = 50

export function startStaleThreshold(mark: bigint | undefined, origin: bigint | undefined): StaleThreshold {
  return { mark, origin, heads: [] }
}

export function passStaleGaps(
  previous: StaleThreshold,
  poll: StaleThresholdPoll,
  thresholdMs: number,
): StaleThresholdResult {
  const heads = sampleHeads(previous.heads, poll, thresholdMs)
  const staleUpTo = heads.findLast((head) => head.atMs <= poll.nowMs - thresholdMs)?.head
  const isStale = (position: bigint): boolean => staleUpTo !== undefined && position <= staleUpTo

  const skipped: SkippedRun<bigint>[] = []
  const gaps: Gap<bigint>[] = []
  let mark = previous.mark
  let last = previous.mark ?? originBelow(poll.visible, previous.origin)
  for (const position of poll.visible) {
    if (last !== undefined && position <= last) continue
    const missing = last === undefined ? 0n : position - last - 1n
    const stored = last ?? position - 1n
    last = position
    if (gaps.length > 0 || (missing > 0n && !isStale(position))) {
      if (missing > 0n) gaps.push({ from: stored + 1n, to: position - 1n })
      continue
    }
    if (missing > 0n) skipped.push({ stored, current: position, count: missing })
    mark = position
  }
  return { state: { ...previous, mark, heads }, skipped, gaps }
}

/** Rows imported with positions below the first one handed out are events too: counting then starts at the first. */
function originBelow(visible: readonly bigint[], origin: bigint | undefined): bigint | undefined {
  const first = visible[0]
  return origin !== undefined && first !== undefined && first <= origin ? undefined : origin
}

function sampleHeads(
  heads: readonly HeadSample[],
  { head, nowMs }: StaleThresholdPoll,
  thresholdMs: number,
): readonly HeadSample[] {
  const newest = heads.at(-1)
  const due = newest === undefined || nowMs - newest.atMs >= thresholdMs / SAMPLES_PER_THRESHOLD
  const moved = head !== undefined && (newest === undefined || head > newest.head)
  const seen = due && moved ? [...heads, { head, atMs: nowMs }] : heads
  const newestOld = seen.findLastIndex((sample) => sample.atMs <= nowMs - thresholdMs)
  return newestOld > 0 ? seen.slice(newestOld) : seen
}
