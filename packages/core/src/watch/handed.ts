import type { Gap, Holder } from '../ports/event-source.ts'
import type { Look, VisibleEvent } from '../ports/watch-source.ts'
import { boundedRuns, byStart, type Missing, missingAfter, overlap } from './missing.ts'
import type { UnsureReason } from './status.ts'

/**
 * Which events were never handed to a handler of this process, as a pure function: what a look saw -> what follows.
 *
 * A look goes up to the furthest position that was handed over. What it finds visible there, and was not handed over, is a
 * *suspect*: the consumer may still go back to it, as after a handler that failed. It is lost once the consumer has read on: once
 * it was handed an event whose number was taken after that look. The read that returned this event had the suspect before it,
 * and the consumer did not take it.
 */
export interface HandedStanding {
  /** Up to where was looked, and what was not visible there. */
  readonly missing: Missing
  /** Parts of it at which no look came. */
  readonly unseen: readonly Gap<bigint>[]
  /** What was handed over at or below this is not known. */
  readonly floor: bigint
  /**
   * At or below this, what is visible when a look first comes there may have been handed over before this run: one that reads
   * in the order of commits or transactions may be given a higher position first. `undefined` before the first look.
   */
  readonly begunAt: bigint | undefined
  /** At or below the floor: what a former run of the consumer had passed, and was not given. The lowest first. */
  readonly kept: readonly Gap<bigint>[]
  /** Of the newest look; changes when parts of the table come or go. */
  readonly layout: string | undefined
  readonly suspects: readonly HandedSuspect[]
}

/** Visible, and not handed over, though something above it was. */
export interface HandedSuspect {
  readonly event: VisibleEvent
  /** How far the handler had come without it. */
  readonly passedAt: bigint
  /** The last look that did not show it; `undefined` where the first look there did. */
  readonly missingAtMs: number | undefined
  readonly visibleAtMs: number
  /** Who could have held it at that last look. */
  readonly heldBy: readonly Holder[]
  /** What is above this was appended after it had become visible. */
  readonly head: bigint
}

export interface HandedLook {
  readonly look: Look
  /** As it was known before the look. */
  readonly settled: bigint | undefined
  /** The newest number that was handed out, as a poll says that began after the look. */
  readonly head: bigint
  /** The furthest position that had been handed over before the look. */
  readonly handedTo: bigint
  readonly isHanded: (position: bigint) => boolean
  /** Whether the handler is given events of this type. */
  readonly handles: (event: VisibleEvent) => boolean
  readonly atMs: number
  readonly previousAtMs: number
  /** Who held numbers at the look before. */
  readonly heldBy: readonly Holder[]
}

export interface HandedStep {
  readonly standing: HandedStanding
  readonly lost: readonly HandedSuspect[]
  readonly unsure: readonly { readonly event: VisibleEvent; readonly because: UnsureReason }[]
}

const MOST_SUSPECTS = 10_000

/**
 * Where looks begin: below the floor too, at what was open then. It may have been handed over before, or passed. `passed`: what
 * former runs of the consumer had passed, and were not given. `begunAt`: the floor, where it is known that nothing above it was handed over before.
 */
export function standingAbove(
  floor: bigint,
  settled: bigint | undefined,
  {
    passed = [],
    begunAt,
  }: { readonly passed?: readonly Gap<bigint>[]; readonly begunAt?: bigint | undefined } = {},
): HandedStanding {
  const through = settled !== undefined && settled < floor ? settled : floor
  const kept = overlap(passed, [{ from: passed[0]?.from ?? floor, to: floor }])
  const unseen = overlap(kept, [{ from: passed[0]?.from ?? floor, to: through }])
  return { missing: { through, runs: [] }, unseen, floor, begunAt, kept, layout: undefined, suspects: [] }
}

/** What has been passed and was not given, so that a later run of the consumer may know it. */
export function passedOf(standing: HandedStanding): readonly Gap<bigint>[] {
  const { floor, kept, missing } = standing
  return boundedRuns(overlap(notGiven(standing), [...kept, { from: floor + 1n, to: missing.through }]))
}

/** What is not visible yet, what is and may still be handed over, and where no look came yet. */
function notGiven(standing: HandedStanding): readonly Gap<bigint>[] {
  const { floor, suspects, missing } = standing
  const visible = suspects.map(({ event: { position } }) => ({ from: position, to: position }))
  const ahead = missing.through < floor ? [{ from: missing.through + 1n, to: floor }] : []
  return [...openRuns(standing), ...visible, ...ahead].toSorted(byStart)
}

/** Where the next look has to look besides what is new. */
export function openRuns({ missing, unseen }: HandedStanding): readonly Gap<bigint>[] {
  if (unseen.length === 0) return missing.runs
  return [...missing.runs, ...unseen].toSorted(byStart)
}

/** Whether there is an event that was not handed over: then `head` has to be known. */
export function hasMissed({
  look,
  isHanded,
  handles,
}: Pick<HandedLook, 'look' | 'isHanded' | 'handles'>): boolean {
  return [...look.appeared, ...look.visible].some((event) => !isHanded(event.position) && handles(event))
}

export function stepHanded(before: HandedStanding, handedLook: HandedLook): HandedStep {
  const { look, settled, isHanded } = handedLook
  const handed = [...look.appeared, ...look.visible].filter(({ position }) => isHanded(position))
  const hasReadOn = readingOn(handed)
  const left = before.suspects.filter(({ event }) => !isHanded(event.position))
  const open = left.filter((suspect) => !hasReadOn(suspect))
  const { fresh, unsure } = suspectsOf(before, handedLook, MOST_SUSPECTS - open.length)
  const standing = {
    ...before,
    missing: missingAfter({ ...before.missing, runs: openRuns(before) }, look, settled),
    unseen: look.unseen.toSorted(byStart),
    begunAt: before.begunAt ?? handedLook.head,
    layout: look.layout,
    suspects: [...open, ...fresh],
  }
  return {
    standing: { ...standing, kept: overlap(before.kept, notGiven(standing)) },
    lost: left.filter(hasReadOn),
    unsure,
  }
}

function suspectsOf(
  before: HandedStanding,
  { look, isHanded, handles, head, handedTo, atMs: visibleAtMs, previousAtMs, heldBy }: HandedLook,
  room: number,
): { readonly fresh: readonly HandedSuspect[]; readonly unsure: HandedStep['unsure'] } {
  const { floor, begunAt, kept, missing, unseen } = before
  const isMissed = (event: VisibleEvent): boolean => !isHanded(event.position) && handles(event)
  const appeared = look.appeared.filter(isMissed)
  const wasLookedAt = ({ position }: VisibleEvent): boolean => !isWithin(unseen, position)
  const isBelow = ({ position }: VisibleEvent): boolean => position <= floor
  const isRearranged = look.layout !== before.layout
  // A look of this run did not show it, so no former run was given it. One that reads in the order of transactions may not
  // have come to it before it was started elsewhere.
  const isKept = ({ position, transaction }: VisibleEvent): boolean =>
    transaction === undefined && isWithin(kept, position)
  const wasPassed = (event: VisibleEvent): boolean =>
    !isBelow(event) || (isKept(event) && wasLookedAt(event) && !isRearranged)
  const unsureOf = (event: VisibleEvent): UnsureReason =>
    !isKept(event) ? 'first_sight' : wasLookedAt(event) ? 'rearranged' : 'restarted'
  const late = appeared
    .filter(wasPassed)
    .map((event) =>
      wasLookedAt(event)
        ? { event, passedAt: missing.through, missingAtMs: previousAtMs, heldBy }
        : { event, passedAt: missing.through, missingAtMs: undefined, heldBy: [] },
    )
  const isOfThisRun = ({ position }: VisibleEvent): boolean => begunAt !== undefined && position > begunAt
  const missed = look.visible.filter(isMissed)
  const passed = missed
    .filter(isOfThisRun)
    .map((event) => ({ event, passedAt: handedTo, missingAtMs: undefined, heldBy: [] }))
  const suspects = [...late, ...passed].map((suspect) => ({ ...suspect, visibleAtMs, head }))
  const tooMany = suspects.slice(Math.max(0, room))
  return {
    fresh: suspects.slice(0, Math.max(0, room)),
    unsure: [
      ...appeared.filter((event) => !wasPassed(event)).map((event) => ({ event, because: unsureOf(event) })),
      // Visible by the first look of this run: given to a former one, or not.
      ...missed
        .filter((event) => !isOfThisRun(event) && (!isBelow(event) || isKept(event)))
        .map((event) => ({ event, because: isBelow(event) ? 'restarted' : 'first_sight' }) as const),
      ...tooMany.map(({ event }) => ({ event, because: 'too_many' as const })),
    ],
  }
}

function isWithin(runs: readonly Gap<bigint>[], position: bigint): boolean {
  return runs.some(({ from, to }) => from <= position && position <= to)
}

/**
 * Whether one of these events, which were handed over, was read after a suspect was there to be read. One that reads in the
 * order of transactions comes to a suspect of a later transaction later.
 */
function readingOn(handed: readonly VisibleEvent[]): (suspect: HandedSuspect) => boolean {
  const byPosition = handed.toSorted((a, b) => (a.position < b.position ? -1 : 1))
  // The latest transaction from each of them on.
  const latest: (bigint | undefined)[] = []
  for (let index = byPosition.length - 1; index >= 0; index--) {
    const { transaction } = byPosition[index] ?? {}
    const above = latest[index + 1]
    latest[index] = above === undefined || (transaction ?? above) > above ? transaction : above
  }
  return ({ head, event: { transaction } }) => {
    const index = firstAbove(byPosition, head)
    if (index === byPosition.length) return false
    const read = latest[index]
    return transaction === undefined || read === undefined || read > transaction
  }
}

function firstAbove(byPosition: readonly VisibleEvent[], head: bigint): number {
  let [low, high] = [0, byPosition.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const event = byPosition[middle]
    if (event !== undefined && event.position <= head) low = middle + 1
    else high = middle
  }
  return low
}
