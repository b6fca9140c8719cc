import { randomUUID } from 'node:crypto'
import type { ProjectionFacts } from '../health/judge-projection.ts'
import type { HighWaterStatus } from '../high-water/status.ts'
import { createOperations } from '../operations/operations.ts'
import { LeaseKeeper, type UnableUnit } from '../ownership/lease-keeper.ts'
import { type ClusterStatus, clusterStatus, leaseStatus } from '../ownership/status.ts'
import type { TailWish } from '../ports/event-source.ts'
import type { LateUnit, OpenLate } from '../ports/late-events.ts'
import { earlierOf, type PositionOrder } from '../ports/position.ts'
import { type Unit, unitKey, versionKey, versionName } from '../ports/unit.ts'
import { lagPositions } from '../projection/lag.ts'
import type { ResolvedProjection } from '../projection/projection.ts'
import type { ProjectionRunner } from '../projection/runner.ts'
import { canBeParted, type PartedSource } from '../projection/shards.ts'
import {
  type LeaseStatus,
  type ProjectionStatus,
  projectionStatus,
  type UnitStatus,
} from '../projection/status.ts'
import { wholeStatuses } from '../projection/whole-status.ts'
import { AutoSharding } from './auto-sharding.ts'
import { DesiredWatch } from './desired-watch.ts'
import { describeNodes, isNumbered, type LeasedNodeOptions } from './nodes.ts'
import type { CountingOrder, Places } from './shard-looks.ts'
import { unableUnits } from './unable.ts'
import { UnitRuns, type UnitRunsParts } from './unit-runs.ts'

interface UnitsParts<P, E, Tx> extends Omit<UnitRunsParts<P, E, Tx>, 'sharing' | 'onOtherShards'> {
  readonly pollIntervalMs: number
}

const NONE_LATE = { open: 0, asked: 0 }

/** What this process may move: a runner for each projection, or for each shard of one. */
export class Units<P, E, Tx> {
  readonly #parts: UnitsParts<P, E, Tx>
  readonly #runs: UnitRuns<P, E, Tx>
  readonly #desired: DesiredWatch | undefined
  readonly #cluster:
    | { readonly id: string; readonly keeper: LeaseKeeper; readonly status: () => ClusterStatus }
    | undefined
  readonly #autoSharding: AutoSharding<P> | undefined
  #watching: Promise<void> | undefined

  constructor(parts: UnitsParts<P, E, Tx>) {
    const { nodes, checkpoints, source, clock, logger, pollIntervalMs } = parts
    this.#parts = parts
    const unable = () => unableUnits(this.runners, clock.nowMs())
    const sharing = nodes === undefined || isNumbered(nodes) ? undefined : keeping(parts, nodes, unable)
    this.#cluster = sharing
    const onOtherShards = async (): Promise<void> => await this.#desired?.lookNow()
    this.#runs = new UnitRuns({ ...parts, sharing, onOtherShards })
    this.#autoSharding = this.#autoShards()
    const { control } = checkpoints
    this.#desired =
      control &&
      new DesiredWatch({
        control,
        source: source.name,
        units: () => this.runners,
        onStored: (stored) => {
          this.#runs.follow(stored)
          this.#autoSharding?.follow(stored)
        },
        clock,
        logger,
        pollIntervalMs,
      })
  }

  /** They change with the shards that are stored. */
  get runners(): readonly ProjectionRunner<P, E, Tx>[] {
    return this.#runs.runners
  }

  /** What late events are looked for of. */
  get lateUnits(): readonly LateUnit[] {
    return this.runners.map(({ unit, eventTypes }) => ({ unit, eventTypes }))
  }

  start(stopping: AbortSignal): void {
    const { logger, nodes } = this.#parts
    if (nodes) logger.info(describeNodes(nodes, this.runners))
    this.#cluster?.keeper.start()
    this.#runs.start()
    this.#watching = this.#desired?.run(stopping)
  }

  /** Tells each what is open of its late events. */
  lateEvents(counts: readonly OpenLate[]): void {
    const byKey = new Map(counts.map((count) => [unitKey(count.unit), count]))
    for (const runner of this.runners) runner.lateEvents(byKey.get(unitKey(runner.unit)) ?? NONE_LATE)
  }

  /** Resolves when every batch at hand has ended. */
  async drain(): Promise<void> {
    const leaving = this.#cluster?.keeper.stop()
    await Promise.all([this.#watching, this.#autoSharding?.drain(), this.#runs.drain(), leaving])
  }

  giveUp(): void {
    this.#runs.giveUp()
    this.#cluster?.keeper.giveUp()
  }

  /** `undefined` where there are no leases. */
  get cluster(): ClusterStatus | undefined {
    return this.#cluster?.status()
  }

  /** One entry for each version of a projection. */
  status(highWater: HighWaterStatus<P>): readonly ProjectionStatus<P>[] {
    const { order } = this.#parts.source
    const units = this.runners.map((runner) => this.#statusOf(runner, highWater))
    return wholeStatuses(order, units).map((status) => {
      const { name: projection, version, handledEvents } = status
      const before = this.#runs.handledBefore({ projection, version })
      return projectionStatus(order, { ...status, handledEvents: before + handledEvents })
    })
  }

  #autoShards(): AutoSharding<P> | undefined {
    const { projections, source, checkpoints, agent, clock, logger } = this.#parts
    const { order } = source
    if (!isCounting(order) || projections.every(({ autoShard }) => autoShard === undefined)) return undefined
    return new AutoSharding({
      projections,
      order,
      agent,
      operations: createOperations<P>({ checkpoints, source }),
      places: () => this.#places(),
      owns: (unit) =>
        this.runners.some((runner) => unitKey(runner.unit) === unitKey(unit) && isAtWork(runner)),
      clock,
      logger,
    })
  }

  #places(): Places {
    const { nodes } = this.#parts
    if (this.#cluster)
      return { by: 'leases', own: this.#cluster.id, cluster: this.#cluster.keeper.known.cluster }
    return nodes === undefined ? { by: 'conflict' } : { by: 'number', units: this.runners }
  }

  #statusOf(runner: ProjectionRunner<P, E, Tx>, highWater: HighWaterStatus<P>): UnitStatus<P> {
    const { order } = this.#parts.source
    const { checkpoint, role, handledEvents, error, failure, pausedBy, asked } = runner.shown
    return {
      name: runner.unit.projection,
      version: runner.unit.version,
      slots: runner.unit.slots,
      role,
      state: runner.state,
      dealtTo: runner.dealtTo,
      lease: runner.lease,
      position: checkpoint?.position,
      lagPositions: lagPositions(order, highWater, checkpoint?.position),
      lagMs: runner.lagMs(highWater),
      replay: runner.replay,
      handledEvents,
      skipped: checkpoint?.skipped,
      pausedBy,
      asked,
      error,
      failure,
    }
  }

  /** What the health of each is judged by. */
  facts(highWater: HighWaterStatus<P>): readonly ProjectionFacts<P>[] {
    return this.runners.map((runner) => ({ status: this.#statusOf(runner, highWater), ...runner.vitals }))
  }

  /** From where each reads on. */
  tails(): readonly TailWish<P>[] {
    return this.runners.flatMap((runner) => runner.tail ?? [])
  }

  /** The least of the checkpoints. */
  projected(): P | undefined {
    const { order } = this.#parts.source
    const [first, ...others] = this.runners.map(({ shown }) => shown.checkpoint?.position)
    return others.reduce((least, position) => earlierOf(order, least, position), first)
  }
}

function isCounting<P>(order: PositionOrder<P>): order is CountingOrder<P> {
  return order.distance !== undefined
}

/** Whether this process works on the unit, as far as it knows. */
function isAtWork({
  state,
  dealtTo,
  lease,
}: Pick<UnitStatus<unknown>, 'state' | 'dealtTo' | 'lease'>): boolean {
  return state !== 'standby' && state !== 'stopped' && dealtTo?.isHere !== false && lease?.isHere !== false
}

/** The leases of this process, and what is told of them. */
function keeping<P, E, Tx>(
  { checkpoints, source, projections, clock, logger, session }: UnitsParts<P, E, Tx>,
  { leaseMs, name, capacity }: Required<LeasedNodeOptions>,
  unable: () => readonly UnableUnit[],
) {
  const { leases } = checkpoints
  if (leases === undefined) throw new TypeError('this store gives no leases')
  const node = { id: randomUUID(), name, source: source.name, capacity }
  const units = projections.map((projection) => handlerKey(projection, source))
  const onGrant = (unit: Unit): void => session.telemetry.leaseGranted({ projection: versionName(unit) })
  const keeper = new LeaseKeeper({ leases, node, units, unable, leaseMs, clock, logger, onGrant })
  const own = { ...node, leaseMs }
  return {
    id: node.id,
    keeper,
    status: (): ClusterStatus => clusterStatus(own, keeper.known, clock.nowMs()),
    leaseOf: (unit: Unit): LeaseStatus => leaseStatus(own, keeper.known, unit),
  }
}

/** As what a node reports a handler: whoever cannot part events works on all of them alone. */
function handlerKey(
  projection: Pick<ResolvedProjection<never, never>, 'unit' | 'shardBy' | 'keyOf'>,
  source: PartedSource,
): string {
  const { unit } = projection
  return canBeParted(projection, source) ? versionKey(unit) : unitKey(unit)
}
