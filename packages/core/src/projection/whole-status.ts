import { earlierOf, laterOf, type PositionOrder } from '../ports/position.ts'
import { wholeSkipped } from '../ports/skip-totals.ts'
import { isWhole } from '../ports/unit.ts'
import {
  byVersion,
  type ProjectionState,
  type ProjectionStatus,
  type ReplayStatus,
  type ShardStatus,
  type UnitStatus,
} from './status.ts'

/** Of several shards the projection is what the first of these is: what an operator has to know comes first. */
const RANKS: Readonly<Record<ProjectionState, number>> = {
  paused: 0,
  retrying: 1,
  stopped: 2,
  replaying: 3,
  catching_up: 4,
  live: 5,
  standby: 6,
}

/** One entry for each version of a projection, whatever its shards. Pure. */
export function wholeStatuses<P>(
  order: PositionOrder<P>,
  units: readonly UnitStatus<P>[],
): readonly ProjectionStatus<P>[] {
  return byVersion(units, (unit) => unit).map((shards) => wholeStatus(order, shards))
}

/** What is to be said of a projection, of which these are the shards. */
function wholeStatus<P>(
  order: PositionOrder<P>,
  shards: readonly [UnitStatus<P>, ...UnitStatus<P>[]],
): ProjectionStatus<P> {
  const [first, ...others] = shards
  const { slots, ...own } = first
  if (others.length === 0 && isWhole(slots)) return { ...own, shards: undefined }
  const worst = others.reduce((so, next) => (RANKS[next.state] < RANKS[so.state] ? next : so), first)
  const all = <T>(of: (shard: UnitStatus<P>) => T): readonly T[] => shards.map(of)
  return {
    name: first.name,
    version: first.version,
    role: shards.find(({ role }) => role !== undefined)?.role,
    state: worst.state,
    dealtTo: (shards.find(({ dealtTo }) => dealtTo?.isHere) ?? first).dealtTo,
    lease: (shards.find(({ lease }) => lease?.isHere) ?? first).lease,
    position: all(({ position }) => position).reduce((least, next) => earlierOf(order, least, next)),
    lagPositions: greatest(all(({ lagPositions }) => lagPositions)),
    lagMs: greatest(all(({ lagMs }) => lagMs)),
    replay: wholeReplay(
      order,
      all(({ replay }) => replay),
    ),
    handledEvents: all(({ handledEvents }) => handledEvents).reduce((sum, next) => sum + next, 0),
    skipped: wholeSkipped(all(({ skipped }) => skipped)),
    pausedBy: shards.find(({ pausedBy }) => pausedBy !== undefined)?.pausedBy,
    asked: shards.find(({ asked }) => asked !== undefined)?.asked,
    error: worst.error,
    failure: worst.failure,
    shards: shards.map(shardStatus),
  }
}

function shardStatus<P>({ name, version, role, ...shard }: UnitStatus<P>): ShardStatus<P> {
  return shard
}

/** Not known of the whole where it is not known of one. */
function greatest<T extends number | bigint>([first, ...others]: readonly (T | undefined)[]): T | undefined {
  let most = first
  for (const next of others) {
    if (most === undefined || next === undefined) return undefined
    if (next > most) most = next
  }
  return most
}

function wholeReplay<P>(
  order: PositionOrder<P>,
  replays: readonly (ReplayStatus<P> | undefined)[],
): ReplayStatus<P> | undefined {
  const [first, ...others] = replays.filter((replay) => replay !== undefined)
  return others.reduce(
    (whole, { target, eventsPerSecond, secondsLeft }) =>
      whole && {
        target: laterOf(order, whole.target, target) ?? target,
        eventsPerSecond: sumOf(whole.eventsPerSecond, eventsPerSecond),
        secondsLeft: greatest([whole.secondsLeft, secondsLeft]),
      },
    first,
  )
}

function sumOf(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b
}
