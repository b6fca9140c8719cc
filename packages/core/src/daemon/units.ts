import { randomUUID } from 'node:crypto'
import type { ProjectionFacts } from '../health/judge-projection.ts'
import type { HighWaterStatus } from '../high-water/status.ts'
import { ByConflict } from '../ownership/by-conflict.ts'
import { ByLease } from '../ownership/by-lease.ts'
import { Elsewhere } from '../ownership/elsewhere.ts'
import { LeaseKeeper, type UnableUnit } from '../ownership/lease-keeper.ts'
import { type ClusterStatus, clusterStatus, leaseStatus } from '../ownership/status.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { TailWish } from '../ports/event-source.ts'
import type { OpenLate } from '../ports/late-events.ts'
import { earlierOf } from '../ports/position.ts'
import { type Unit, unitKey, versionName } from '../ports/unit.ts'
import { lagPositions } from '../projection/lag.ts'
import type { ResolvedProjection } from '../projection/projection.ts'
import { ProjectionRunner, type RunnerParts } from '../projection/runner.ts'
import { standbyPatienceMs } from '../projection/standing.ts'
import {
  isDealtElsewhere,
  type LeaseStatus,
  type ProjectionStatus,
  projectionStatus,
  type UnitStatus,
} from '../projection/status.ts'
import { wholeStatuses } from '../projection/whole-status.ts'
import { watchDesired } from './desired-watch.ts'
import { dealtTo, describeNodes, isNumbered, type LeasedNodeOptions, type ResolvedNodes } from './nodes.ts'
import { unableUnits } from './unable.ts'

interface UnitsParts<P, E, Tx>
  extends Omit<
    RunnerParts<P, E, Tx>,
    'projection' | 'projections' | 'ownership' | 'sessionId' | 'dealtTo' | 'leaseOf'
  > {
  /** One in shards is there once for each. */
  readonly projections: readonly ResolvedProjection<E, Tx>[]
  readonly nodes: ResolvedNodes | undefined
  readonly checkpoints: CheckpointStore<Tx>
  readonly pollIntervalMs: number
}

const NONE_LATE = { open: 0, asked: 0 }

/** What this process may move: a runner for each projection, or for each shard of one. */
export class Units<P, E, Tx> {
  readonly runners: readonly ProjectionRunner<P, E, Tx>[]
  readonly #parts: UnitsParts<P, E, Tx>
  readonly #cluster: { readonly keeper: LeaseKeeper; readonly status: () => ClusterStatus } | undefined
  #watching: Promise<void> | undefined

  constructor(parts: UnitsParts<P, E, Tx>) {
    const { projections, nodes, ...shared } = parts
    const { checkpoints, source, agent, clock } = shared
    this.#parts = parts
    const sessionId = randomUUID()
    const standingBy = { order: source.order, agent, clock }
    const units = projections.map(({ unit }) => unit)
    const dealt = dealtTo(units, nodes)
    const unable = () => unableUnits(this.runners, clock.nowMs())
    const sharing =
      nodes === undefined || isNumbered(nodes) ? undefined : keeping(parts, nodes, units, unable)
    this.#cluster = sharing
    this.runners = projections.map((projection, index) => {
      const patienceMs = standbyPatienceMs(projection)
      const { unit } = projection
      const ownership = sharing
        ? new ByLease({ ...standingBy, checkpoints, unit, keeper: sharing.keeper })
        : isDealtElsewhere(dealt[index])
          ? new Elsewhere<P, Tx>(standingBy)
          : new ByConflict({ ...standingBy, checkpoints, patienceMs })
      return new ProjectionRunner({
        ...shared,
        projection,
        projections: dealt.filter((to) => !isDealtElsewhere(to)).length,
        ownership,
        sessionId,
        dealtTo: dealt[index],
        leaseOf: sharing && (() => sharing.leaseOf(unit)),
      })
    })
  }

  start(stopping: AbortSignal): void {
    const { checkpoints, source, clock, logger, pollIntervalMs, nodes } = this.#parts
    if (nodes) logger.info(describeNodes(nodes, this.runners))
    this.#cluster?.keeper.start()
    for (const runner of this.runners) runner.start()
    const { control } = checkpoints
    if (control === undefined) return
    const watched = { control, source: source.name, units: this.runners, clock, logger, pollIntervalMs }
    this.#watching = watchDesired(watched, stopping)
  }

  /** Tells each what is open of its late events. */
  lateEvents(counts: readonly OpenLate[]): void {
    const byKey = new Map(counts.map((count) => [unitKey(count.unit), count]))
    for (const runner of this.runners) runner.lateEvents(byKey.get(unitKey(runner.unit)) ?? NONE_LATE)
  }

  /** Resolves when every batch at hand has ended. */
  async drain(): Promise<void> {
    const leaving = this.#cluster?.keeper.stop()
    await Promise.all([this.#watching, ...this.runners.map((runner) => runner.drain()), leaving])
  }

  giveUp(): void {
    for (const runner of this.runners) runner.giveUp()
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
    return wholeStatuses(order, units).map((status) => projectionStatus(order, status))
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

/** The leases of this process, and what is told of them. */
function keeping<P, E, Tx>(
  { checkpoints, source, clock, logger, session }: UnitsParts<P, E, Tx>,
  { leaseMs, name, capacity }: Required<LeasedNodeOptions>,
  units: readonly Unit[],
  unable: () => readonly UnableUnit[],
) {
  const { leases } = checkpoints
  if (leases === undefined) throw new TypeError('this store gives no leases')
  const node = { id: randomUUID(), name, source: source.name, capacity }
  const onGrant = (unit: Unit): void => session.telemetry.leaseGranted({ projection: versionName(unit) })
  const keeper = new LeaseKeeper({ leases, node, units, unable, leaseMs, clock, logger, onGrant })
  const own = { ...node, leaseMs }
  return {
    keeper,
    status: (): ClusterStatus => clusterStatus(own, keeper.known, clock.nowMs()),
    leaseOf: (unit: Unit): LeaseStatus => leaseStatus(own, keeper.known, unit),
  }
}
