import { isSameSlots } from '../ports/slot.ts'
import type { SlotRange } from '../ports/unit.ts'

/** What one look has found of a projection. */
export interface ShardLook {
  readonly atMs: number
  /** How many positions lie up to the mark, from whichever fixed one they are counted. */
  readonly mark: number
  /** The lowest slots first. */
  readonly shards: readonly SeenShard[]
  /** Those that may be given a shard of it. */
  readonly nodes: readonly SeenNode[]
  /** How much of its time this process was at work since the look before, from 0 to 1. */
  readonly busyShare: number
  /** Its shards are not to be changed now: it is paused, something is asked of it, or shards of it are to meet. */
  readonly isHeld: boolean
}

export interface SeenShard {
  readonly slots: SlotRange
  /** How many positions lie between its checkpoint and the mark. */
  readonly behind: number
  /** For how long an event above its checkpoint has been there. */
  readonly lagMs: number
}

export interface SeenNode {
  readonly isOwn: boolean
  /** How many of its units lag, of whatever projection. */
  readonly lagging: number
}

/** What is remembered of a range of slots, also where it is no shard any more. */
interface RangeMemory {
  readonly slots: SlotRange
  /** `undefined`: it does not lag, or is no shard. */
  readonly laggingSinceMs: number | undefined
  /** How many positions a second it has passed when it last lagged for long: the most that it can. */
  readonly perSecond: number | undefined
  /** The same of the shard that it was cut from, until it is known whether that has helped. */
  readonly wholePerSecond: number | undefined
  /** Being cut from a larger one was no help to it: cutting it further is none either. */
  readonly isLeft: boolean
}

export interface ShardHistory {
  /** Those of the last half minute, since the shards are these. */
  readonly looks: readonly ShardLook[]
  readonly ranges: ReadonlyMap<string, RangeMemory>
  /** Since when the shards are these. */
  readonly changedAtMs: number
  /** Since when none of them has lagged. */
  readonly quietSinceMs: number
  /** The most positions a second that have come, of which half is forgotten in ten minutes. */
  readonly mostPerSecond: number
  readonly mergedAtMs: number
  /** For so long none is to lag before two become one. */
  readonly quietMs: number
}

/** A shard lags where an event has waited for so long. A checkpoint follows within a second or two where nothing is wrong. */
const LAGS_FROM_MS = 5_000
/** For so long a shard has to lag at each look, and over so long its pace is measured. */
export const WINDOW_MS = 30_000
/** Two shards become one only after so long without lag and without a change. */
export const QUIET_MS = 600_000
/** Where shards were cut again within this time after some had become one, the next ones wait twice as long, up to this. */
const LONGEST_QUIET_MS = 14_400_000
/** So long after a cut it is judged, by the window that ends then. */
export const JUDGED_AFTER_MS: number = 2 * WINDOW_MS
/** So much faster than its whole a half has to be, or the cut was no help to it. */
const LEAST_GAIN = 1.25

/** Before the first look. */
export const NOTHING_SEEN: ShardHistory = {
  looks: [],
  ranges: new Map(),
  changedAtMs: 0,
  quietSinceMs: 0,
  mostPerSecond: 0,
  mergedAtMs: Number.NEGATIVE_INFINITY,
  quietMs: QUIET_MS,
}

/** The history with one more look. Pure, as all that follow. */
export function withLook(before: ShardHistory, look: ShardLook): ShardHistory {
  const { atMs, shards } = look
  const last = before.looks.at(-1)
  const sinceMs = atMs - (last?.atMs ?? atMs)
  const isChanged = last === undefined || !isSame(last.shards, shards)
  const looks = isChanged ? [look] : inWindow([...before.looks, look])
  const isQuiet = !shards.some(({ lagMs }) => isLagging(lagMs))
  const quietSinceMs = isQuiet && !isChanged ? before.quietSinceMs : atMs
  const isCalm = atMs - quietSinceMs >= QUIET_MS
  const ranges = new Map<string, RangeMemory>(
    [...before.ranges].map(([key, range]) => [key, { ...range, laggingSinceMs: undefined }]),
  )
  for (const shard of shards) {
    const known = before.ranges.get(keyOf(shard.slots))
    const isMade = isChanged && !last?.shards.some(({ slots }) => isSameSlots(slots, shard.slots))
    const range = known === undefined || isMade ? made(shard.slots, known, last, before) : known
    ranges.set(keyOf(shard.slots), seenAgain(range, shard, looks, isCalm))
  }
  return {
    looks,
    ranges,
    changedAtMs: isChanged ? atMs : before.changedAtMs,
    quietSinceMs,
    mostPerSecond: Math.max(
      arrivingPerSecond(looks) ?? 0,
      before.mostPerSecond * 0.5 ** (sinceMs / QUIET_MS),
    ),
    ...(isChanged ? hurried(before, last, look) : { mergedAtMs: before.mergedAtMs, quietMs: before.quietMs }),
  }
}

export function isLagging(lagMs: number): boolean {
  return lagMs >= LAGS_FROM_MS
}

/** Positions a second that have come; `undefined`: the looks are too few. */
export function arrivingPerSecond(looks: readonly ShardLook[]): number | undefined {
  return perSecond(looks, ({ mark }) => mark)
}

/** By how many positions a second the distance between the shard and the mark has grown, or shrunk where it is below 0. */
export function growingPerSecond(looks: readonly ShardLook[], slots: SlotRange): number | undefined {
  return perSecond(looks, (look) => behindOf(look, slots))
}

/** Positions a second that the shard has passed. */
export function passedPerSecond(looks: readonly ShardLook[], slots: SlotRange): number | undefined {
  return perSecond(looks, (look) => look.mark - behindOf(look, slots))
}

export function rangeOf({ ranges }: ShardHistory, slots: SlotRange): RangeMemory | undefined {
  return ranges.get(keyOf(slots))
}

function seenAgain(
  range: RangeMemory,
  { slots, lagMs }: SeenShard,
  looks: readonly ShardLook[],
  isCalm: boolean,
): RangeMemory {
  const atMs = looks.at(-1)?.atMs ?? 0
  // What has not lagged for long is under another load when it lags again.
  if (!isLagging(lagMs)) {
    return { ...range, laggingSinceMs: undefined, wholePerSecond: undefined, isLeft: range.isLeft && !isCalm }
  }
  const laggingSinceMs = range.laggingSinceMs ?? atMs
  const pace = atMs - laggingSinceMs < WINDOW_MS ? undefined : passedPerSecond(looks, slots)
  // One that stands still shows nothing of what it can.
  if (pace === undefined || pace <= 0) return { ...range, laggingSinceMs }
  const { wholePerSecond } = range
  // While a half has only just begun, its pace is not what it can.
  if (wholePerSecond === undefined || atMs - laggingSinceMs < JUDGED_AFTER_MS) {
    return { ...range, laggingSinceMs, perSecond: pace }
  }
  const isLeft = range.isLeft || pace < LEAST_GAIN * wholePerSecond
  return { slots, laggingSinceMs, perSecond: pace, wholePerSecond: undefined, isLeft }
}

/** A shard that was not there at the last look. */
function made(
  slots: SlotRange,
  known: RangeMemory | undefined,
  last: ShardLook | undefined,
  before: ShardHistory,
): RangeMemory {
  const whole = last?.shards.find((each) => each.slots.from <= slots.from && slots.to <= each.slots.to)
  const range = whole && rangeOf(before, whole.slots)
  return {
    slots,
    laggingSinceMs: undefined,
    perSecond: known?.perSecond,
    wholePerSecond: range?.laggingSinceMs === undefined ? undefined : range.perSecond,
    isLeft: false,
  }
}

/** Whoever has made one of two too soon waits longer the next time. */
function hurried(
  { mergedAtMs, quietMs }: ShardHistory,
  last: ShardLook | undefined,
  { shards, atMs }: ShardLook,
): Pick<ShardHistory, 'mergedAtMs' | 'quietMs'> {
  const more = shards.length - (last?.shards.length ?? shards.length)
  if (more < 0) return { mergedAtMs: atMs, quietMs }
  if (more === 0 || atMs - mergedAtMs > LONGEST_QUIET_MS) return { mergedAtMs, quietMs }
  return { mergedAtMs: Number.NEGATIVE_INFINITY, quietMs: Math.min(2 * quietMs, LONGEST_QUIET_MS) }
}

/** Those of the window, and the last one before it. */
function inWindow(looks: readonly ShardLook[]): readonly ShardLook[] {
  const endMs = looks.at(-1)?.atMs ?? 0
  const first = looks.findIndex((look) => look.atMs > endMs - WINDOW_MS)
  return looks.slice(Math.max(0, first - 1))
}

function perSecond(looks: readonly ShardLook[], of: (look: ShardLook) => number): number | undefined {
  const [first, last] = [looks[0], looks.at(-1)]
  if (first === undefined || last === undefined || last.atMs - first.atMs < WINDOW_MS) return undefined
  return (1_000 * (of(last) - of(first))) / (last.atMs - first.atMs)
}

function behindOf({ shards }: ShardLook, slots: SlotRange): number {
  return shards.find((each) => isSameSlots(each.slots, slots))?.behind ?? 0
}

function isSame(a: readonly SeenShard[], b: readonly SeenShard[]): boolean {
  return (
    a.length === b.length && a.every(({ slots }, index) => keyOf(slots) === keyOf(b[index]?.slots ?? slots))
  )
}

const keyOf = ({ from, to }: SlotRange): string => `${from}-${to}`
