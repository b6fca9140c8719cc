import type { SlotRange } from '../ports/unit.ts'
import {
  arrivingPerSecond,
  growingPerSecond,
  isLagging,
  JUDGED_AFTER_MS,
  passedPerSecond,
  rangeOf,
  type SeenShard,
  type ShardHistory,
  type ShardLook,
  WINDOW_MS,
} from './shard-history.ts'

export interface ShardDecision {
  /** Cut the shard that has these slots into two; or make one with these slots of two. */
  readonly kind: 'split' | 'merge'
  readonly slots: SlotRange
  /** With the figures that it was decided by. */
  readonly why: string
}

/** What a cut has changed is judged by then. So is what a start of the process has. */
export const BETWEEN_SPLITS_MS: number = JUDGED_AFTER_MS
/** What has caught up within this time needs no cut. */
const CATCHES_UP_SECONDS = 60
/** Above this share of its time a process is taken to have no room for one more handler. */
const BUSY_SHARE = 0.7
/** Two become one only where half of its pace would do. */
const HEADROOM = 2

/** Which shards of a projection are to change now, if any. Never above `max`. Pure, as all that follow. */
export function decideShards(history: ShardHistory, max: number): ShardDecision | undefined {
  const look = history.looks.at(-1)
  if (look === undefined || look.isHeld) return undefined
  return toSplit(history, look, max) ?? toMerge(history, look)
}

/** The one that lags most, of those that would gain by it. */
function toSplit(history: ShardHistory, look: ShardLook, max: number): ShardDecision | undefined {
  const { looks, changedAtMs } = history
  if (look.shards.length >= max || look.atMs - changedAtMs < BETWEEN_SPLITS_MS || !hasRoom(looks))
    return undefined
  const [first, ...others] = look.shards.filter((shard) => wouldGain(history, shard, look.atMs))
  if (first === undefined) return undefined
  const { slots, behind, lagMs } = others.reduce(
    (most, next) => (next.behind > most.behind ? next : most),
    first,
  )
  const idle = look.nodes.filter(({ lagging }) => lagging === 0).length
  const room = idle > 0 ? `${idle} of ${look.nodes.length} nodes lag in nothing` : 'this node has room'
  return {
    kind: 'split',
    slots,
    why:
      `the shard of the slots ${slots.from}-${slots.to} lags most: it is ${behind} positions behind, an event has waited for ` +
      `${inSeconds(lagMs)} s, and it passes ${rounded(passedPerSecond(looks, slots))} positions a second, of which ` +
      `${rounded(arrivingPerSecond(looks))} come; ${room}`,
  }
}

function wouldGain(history: ShardHistory, { slots, behind, lagMs }: SeenShard, atMs: number): boolean {
  const range = rangeOf(history, slots)
  const sinceMs = range?.laggingSinceMs ?? atMs
  if (slots.from === slots.to || range?.isLeft !== false || !isLagging(lagMs)) return false
  if (atMs - sinceMs < WINDOW_MS) return false
  // One that stands still does not stand still for want of shards.
  if ((passedPerSecond(history.looks, slots) ?? 0) <= 0) return false
  const growing = growingPerSecond(history.looks, slots) ?? 0
  return growing >= 0 || behind > CATCHES_UP_SECONDS * -growing
}

/** A node of which nothing lags, or this one where its handlers wait more than they work. */
function hasRoom(looks: readonly ShardLook[]): boolean {
  const nodes = looks.at(-1)?.nodes ?? []
  const busy = looks.reduce((sum, { busyShare }) => sum + busyShare, 0) / looks.length
  return nodes.some(({ isOwn, lagging }) => lagging === 0 || (isOwn && busy <= BUSY_SHARE))
}

/** The two neighbours that have the fewest slots, of those that would not lag as one. */
function toMerge(history: ShardHistory, { shards, atMs }: ShardLook): ShardDecision | undefined {
  const { quietSinceMs, quietMs, mostPerSecond } = history
  if (atMs - quietSinceMs < quietMs) return undefined
  const [first, ...others] = shards
    .slice(1)
    .map(({ slots: { to } }, index) => ({ from: shards[index]?.slots.from ?? 0, to }))
    .filter((pair) => !wasTooSlow(history, pair))
  if (first === undefined) return undefined
  const slots = others.reduce(
    (least, next) => (next.to - next.from < least.to - least.from ? next : least),
    first,
  )
  return {
    kind: 'merge',
    slots,
    why:
      `none of its ${shards.length} shards has lagged for ${inSeconds(atMs - quietSinceMs)} s, and at most ` +
      `${rounded(mostPerSecond)} positions a second have come lately`,
  }
}

/** Whether it, or a part of it, has lagged at a pace that is not well above what comes now. */
function wasTooSlow({ ranges, mostPerSecond }: ShardHistory, { from, to }: SlotRange): boolean {
  return [...ranges.values()].some(
    ({ slots, perSecond }) =>
      perSecond !== undefined && from <= slots.from && slots.to <= to && perSecond < HEADROOM * mostPerSecond,
  )
}

const inSeconds = (ms: number): number => Math.round(ms / 1_000)
const rounded = (rate: number | undefined): string => (rate === undefined ? '?' : rate.toPrecision(3))
