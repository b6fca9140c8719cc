import { randomUUID } from 'node:crypto'
import { ByConflict } from '../ownership/by-conflict.ts'
import { ByLease } from '../ownership/by-lease.ts'
import { Elsewhere } from '../ownership/elsewhere.ts'
import type { LeaseKeeper } from '../ownership/lease-keeper.ts'
import type { Ownership } from '../ownership/ownership.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import { haveSlotsInCommon } from '../ports/slot.ts'
import { type Unit, unitKey, versionKey, versionName } from '../ports/unit.ts'
import type { ResolvedProjection } from '../projection/projection.ts'
import { ProjectionRunner, type RunnerParts } from '../projection/runner.ts'
import { inSlots } from '../projection/shards.ts'
import { standbyPatienceMs } from '../projection/standing.ts'
import { type DealtTo, isDealtElsewhere, type LeaseStatus } from '../projection/status.ts'
import { describeShards, type ShardsOfVersions, shardsOfVersions, shardsToRun } from './followed-shards.ts'
import { dealtTo, type ResolvedNodes } from './nodes.ts'

export interface UnitRunsParts<P, E, Tx>
  extends Omit<
    RunnerParts<P, E, Tx>,
    'projection' | 'projections' | 'ownership' | 'sessionId' | 'dealtTo' | 'leaseOf' | 'former'
  > {
  /** Whole, whatever their shards. */
  readonly projections: readonly ResolvedProjection<E, Tx>[]
  readonly nodes: ResolvedNodes | undefined
  readonly checkpoints: CheckpointStore<Tx>
  /** `undefined` where there are no leases. */
  readonly sharing:
    | { readonly keeper: LeaseKeeper; readonly leaseOf: (unit: Unit) => LeaseStatus }
    | undefined
}

/** A unit, and which node it is dealt to. */
interface Placed<E, Tx> {
  /** One shard of it. */
  readonly projection: ResolvedProjection<E, Tx>
  readonly dealtTo: DealtTo | undefined
}

/**
 * A runner for each shard of each projection, as they are stored. Where they are stored otherwise by now, the runners of those that are
 * gone end after the batch at hand, and others begin. What a runner of this process does never decides whether that is safe: a checkpoint
 * moves only where its row is, its row is never made again while there are others, and whoever replaces rows has locked them.
 */
export class UnitRuns<P, E, Tx> {
  readonly #parts: UnitRunsParts<P, E, Tx>
  readonly #sessionId: string = randomUUID()
  #runners: readonly ProjectionRunner<P, E, Tx>[]
  /** Those that are ending, since their unit is no more, or is dealt to another node. */
  readonly #leaving = new Map<ProjectionRunner<P, E, Tx>, Promise<void>>()
  /** Events that were handled by those that have ended, by `versionKey`. */
  readonly #handledBefore = new Map<string, number>()
  #hasFollowed = false
  #isStopping = false

  constructor(parts: UnitRunsParts<P, E, Tx>) {
    this.#parts = parts
    const placed = this.#placed(new Map(), new Map())
    this.#runners = placed.map((each) => this.#make(each, placed))
  }

  /** Not those that are ending. */
  get runners(): readonly ProjectionRunner<P, E, Tx>[] {
    return this.#runners
  }

  start(): void {
    for (const runner of this.#runners) runner.start()
  }

  /** Runs what is stored, of those that are the units of this source. */
  follow(units: readonly { readonly unit: Unit }[]): void {
    if (this.#isStopping) return
    const before = this.#runners
    const running = shardsOfVersions(before)
    const stored = shardsOfVersions(units)
    const placed = this.#placed(stored, running)
    const gone = before.filter((runner) => !placed.some((each) => isOf(runner, each)))
    for (const runner of gone) this.#leave(runner)
    this.#runners = placed.map(
      (each) => before.find((runner) => isOf(runner, each)) ?? this.#make(each, placed),
    )
    this.#tell(running)
    this.#hasFollowed = true
    const made = this.#runners.filter((runner) => !before.includes(runner))
    for (const runner of made) runner.start()
    if (made.length > 0 || gone.length > 0) this.#parts.onChange()
  }

  /** Events that runners have handled which there are no more, or are ending. */
  handledBefore(version: Pick<Unit, 'projection' | 'version'>): number {
    const key = versionKey(version)
    const leaving = [...this.#leaving.keys()].filter(({ unit }) => versionKey(unit) === key)
    return leaving.reduce((sum, { shown }) => sum + shown.handledEvents, this.#handledBefore.get(key) ?? 0)
  }

  /** Resolves when every batch at hand has ended. */
  async drain(): Promise<void> {
    this.#isStopping = true
    await Promise.all([...this.#runners.map((runner) => runner.drain()), ...this.#leaving.values()])
  }

  giveUp(): void {
    for (const runner of [...this.#runners, ...this.#leaving.keys()]) runner.giveUp()
  }

  #placed(stored: ShardsOfVersions, running: ShardsOfVersions): readonly Placed<E, Tx>[] {
    const { projections, nodes, source } = this.#parts
    const shards = projections.flatMap((projection) => {
      const key = versionKey(projection.unit)
      const known = { stored: stored.get(key), running: running.get(key) }
      return shardsToRun(projection, known, source).map((slots) => inSlots(projection, slots))
    })
    const dealt = dealtTo(
      shards.map(({ unit }) => unit),
      nodes,
    )
    return shards.map((projection, index) => ({ projection, dealtTo: dealt[index] }))
  }

  #make(placed: Placed<E, Tx>, all: readonly Placed<E, Tx>[]): ProjectionRunner<P, E, Tx> {
    const { projections: _projections, nodes: _nodes, sharing, ...shared } = this.#parts
    const { projection, dealtTo } = placed
    const { unit } = projection
    return new ProjectionRunner<P, E, Tx>({
      ...shared,
      projection,
      projections: all.filter((each) => !isDealtElsewhere(each.dealtTo)).length,
      ownership: this.#ownershipOf(placed),
      sessionId: this.#sessionId,
      dealtTo,
      leaseOf: sharing && (() => sharing.leaseOf(unit)),
      former: this.#formerOf(unit),
    })
  }

  #ownershipOf({ projection, dealtTo }: Placed<E, Tx>): Ownership<P, Tx> {
    const { checkpoints, source, agent, clock, sharing } = this.#parts
    const standingBy = { order: source.order, agent, clock }
    const { unit } = projection
    if (sharing) return new ByLease({ ...standingBy, checkpoints, unit, keeper: sharing.keeper })
    if (isDealtElsewhere(dealtTo)) return new Elsewhere(standingBy)
    return new ByConflict({ ...standingBy, checkpoints, patienceMs: standbyPatienceMs(projection) })
  }

  #leave(runner: ProjectionRunner<P, E, Tx>): void {
    const key = versionKey(runner.unit)
    const ended = runner.drain().then(() => {
      this.#leaving.delete(runner)
      this.#handledBefore.set(key, (this.#handledBefore.get(key) ?? 0) + runner.shown.handledEvents)
    })
    this.#leaving.set(runner, ended)
  }

  /** The end of those that had slots of the unit before: where a transaction was cut, a handler may still be at its events. */
  #formerOf(unit: Unit): Promise<unknown> | undefined {
    const former = [...this.#leaving].filter(
      ([runner]) =>
        versionKey(runner.unit) === versionKey(unit) && haveSlotsInCommon(runner.unit.slots, unit.slots),
    )
    return former.length === 0 ? undefined : Promise.all(former.map(([, ended]) => ended))
  }

  #tell(before: ShardsOfVersions): void {
    const { projections, logger } = this.#parts
    const after = shardsOfVersions(this.#runners)
    for (const { unit, shards } of projections) {
      const [was, is] = [before, after].map((each) => each.get(versionKey(unit)) ?? [])
      if (is === undefined || JSON.stringify(was) === JSON.stringify(is)) continue
      const named = `tidemark: projection "${versionName(unit)}"`
      logger.info(
        this.#hasFollowed
          ? `${named} runs in ${describeShards(is)} from now on, as it is stored`
          : `${named} is stored in ${describeShards(is)}, and runs in that; shards: ${shards.length} is for where nothing is stored of it`,
      )
    }
  }
}

function isOf<P, E, Tx>(runner: ProjectionRunner<P, E, Tx>, { projection, dealtTo }: Placed<E, Tx>): boolean {
  return unitKey(runner.unit) === unitKey(projection.unit) && runner.dealtTo?.index === dealtTo?.index
}
