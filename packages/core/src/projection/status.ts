import type { ProjectionFailure } from '../failures/classify.ts'
import { errorJson, withJson } from '../kernel/json.ts'
import type { Decision, PendingRequest } from '../ports/control.ts'
import type { PositionOrder } from '../ports/position.ts'
import { bySlots } from '../ports/slot.ts'
import type { Role, SkipTotals } from '../ports/stored-unit.ts'
import type { SlotRange } from '../ports/unit.ts'

/**
 * The states a projection can be in.
 *
 * - `catching_up`: events are waiting behind the mark
 * - `replaying`: the same, and they were handled for its readers before: its checkpoint was moved back, or its version is beside
 *   the live one (`replay`)
 * - `live`: everything up to the mark is projected
 * - `standby`: another owner moves this checkpoint, or another node has it (`dealtTo`, `lease`)
 * - `retrying`: a fault is being retried with back-off (`error` and `failure` say which)
 * - `paused`: its handler or row mapping failed too often; it is tried again at growing intervals (`failure.nextTryAtMs`).
 *   Or an operator has paused it (`pausedBy`); it stays so until it is resumed
 * - `stopped`: not started, or stopped
 */
export const PROJECTION_STATES: readonly [
  'catching_up',
  'replaying',
  'live',
  'standby',
  'retrying',
  'paused',
  'stopped',
] = ['catching_up', 'replaying', 'live', 'standby', 'retrying', 'paused', 'stopped']
export type ProjectionState = (typeof PROJECTION_STATES)[number]

/** Which of the nodes that projections are dealt out to (`nodes`) has one. */
export interface DealtTo {
  /** From 0. */
  readonly index: number
  readonly of: number
  /** Whether that is this node. */
  readonly isHere: boolean
}

/** Which of the nodes that share projections by leases (`nodes`) has one. */
export interface LeaseStatus {
  /** Its name; `undefined`: none has it, or that is not known yet. */
  readonly node: string | undefined
  /** Whether that is this node. */
  readonly isHere: boolean
}

/** Whether another node that is there has its lease. */
export function isLeasedElsewhere(lease: LeaseStatus | undefined): boolean {
  return lease?.node !== undefined && !lease.isHere
}

/** Whether another node is to work on it, and this one never does. */
export function isDealtElsewhere(dealtTo: DealtTo | undefined): boolean {
  return dealtTo?.isHere === false
}

/** `undefined`: it is this node that works on it, or may. */
export function whereDealt(dealtTo: DealtTo | undefined, lease: LeaseStatus | undefined): string | undefined {
  if (isLeasedElsewhere(lease)) return `with node "${lease?.node}", which has its lease`
  return isDealtElsewhere(dealtTo) ? `dealt to node ${dealtTo?.index} of ${dealtTo?.of}` : undefined
}

/** Where a replay ends, and how fast it is. */
export interface ReplayStatus<P> {
  /** How far its events were handled before; of a version beside the live one, the mark. */
  readonly target: P
  /** Over the last half minute; `undefined` while that is not known. */
  readonly eventsPerSecond: number | undefined
  /** At that speed; `undefined` while it is not known, and where the positions of the source are no numbers without holes. */
  readonly secondsLeft: number | undefined
}

/**
 * Where a projection stands. One in shards is as its shards are: its position is the least of theirs, its lags are the longest, its
 * events all of theirs; its state, with `error` and `failure`, is that of the shard that needs looking at most.
 */
export interface ProjectionStatus<P> {
  readonly name: string
  readonly version: number
  /** `undefined` before its checkpoint was read. */
  readonly role: Role | undefined
  readonly state: ProjectionState
  /** The node that it is dealt to; `undefined` where nothing is dealt out. */
  readonly dealtTo: DealtTo | undefined
  /** The node that has its lease; `undefined` where there are no leases. */
  readonly lease: LeaseStatus | undefined
  /** The checkpoint; `undefined` before the first one. */
  readonly position: P | undefined
  /** (head - settled) + (mark - checkpoint) on dense orders, once both are known. */
  readonly lagPositions: bigint | undefined
  /**
   * Now minus the append time of the oldest unprocessed event, also of one above a gap. 0 when there is none. If the
   * source does not know append times, it counts from when this process first saw that there was one. While polls fail
   * there may always be one: then it counts from the last poll that succeeded. `undefined` while it is not known:
   * before the first poll, before the checkpoint was read, and while transactions from before the first poll are open.
   */
  readonly lagMs: number | undefined
  /** `undefined` where it replays nothing. */
  readonly replay: ReplayStatus<P> | undefined
  /** Events handled by this process. */
  readonly handledEvents: number
  /** Totals stored with the checkpoint; `undefined` before that was read. */
  readonly skipped: SkipTotals | undefined
  /** The operator who has paused it; `undefined` where none has. */
  readonly pausedBy: Decision | undefined
  /** What an operator has asked the node that runs it to do, until it is done (`rebuild`). */
  readonly asked: PendingRequest | undefined
  /** What was thrown, as it was thrown. */
  readonly error: unknown
  /** Where `error` came from and what to do about it; `undefined` while nothing fails. */
  readonly failure: ProjectionFailure | undefined
  /** Each shard, the lowest slots first; `undefined` where it is in one. */
  readonly shards: readonly ShardStatus<P>[] | undefined
}

/** Where one shard stands: each field as of a projection. */
export interface ShardStatus<P> extends Omit<ProjectionStatus<P>, 'name' | 'version' | 'role' | 'shards'> {
  /** Its events are those whose keys have one of these slots. */
  readonly slots: SlotRange
}

/** Where one unit stands. */
export interface UnitStatus<P>
  extends ShardStatus<P>,
    Pick<ProjectionStatus<P>, 'name' | 'version' | 'role'> {}

/** The units by projection and version, each group in the order of its slots. Pure. */
export function byVersion<U>(
  units: readonly U[],
  of: (unit: U) => Pick<UnitStatus<never>, 'name' | 'version' | 'slots'>,
): readonly (readonly [U, ...U[]])[] {
  const groups = new Map<string, [U, ...U[]]>()
  for (const unit of units) {
    const { name, version } = of(unit)
    const key = `${version}/${name}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [unit])
    else group.push(unit)
  }
  for (const group of groups.values()) group.sort((a, b) => bySlots(of(a).slots, of(b).slots))
  return [...groups.values()]
}

/** The status, with what `JSON.stringify` writes of it. */
export function projectionStatus<P>(
  order: Pick<PositionOrder<P>, 'format'>,
  status: ProjectionStatus<P>,
): ProjectionStatus<P> {
  return withJson(status, () => ({
    ...status,
    ...shownAsJson(order, status),
    shards: status.shards?.map((shard) => ({ ...shard, ...shownAsJson(order, shard) })),
  }))
}

function shownAsJson<P>(
  order: Pick<PositionOrder<P>, 'format'>,
  { position, replay, failure, error }: Omit<ShardStatus<P>, 'slots'>,
): object {
  return {
    position: position === undefined ? undefined : order.format(position),
    replay: replay && { ...replay, target: order.format(replay.target) },
    error: failure === undefined ? undefined : errorJson(error),
  }
}
