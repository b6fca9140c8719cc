import type { Clock } from '../kernel/clock.ts'
import { describeError } from '../kernel/describe-error.ts'
import { FailureLog } from '../kernel/failure-log.ts'
import type { Operations } from '../operations/operations.ts'
import type { ControlledUnit } from '../ports/control.ts'
import { type Unit, unitName } from '../ports/unit.ts'
import type { ResolvedProjection } from '../projection/projection.ts'
import { inBackground } from '../telemetry/background.ts'
import type { Logger } from '../telemetry/logger.ts'
import { decideShards, type ShardDecision } from './auto-shard.ts'
import { NOTHING_SEEN, type ShardHistory, withLook } from './shard-history.ts'
import { type CountingOrder, lookAtShards, type Places } from './shard-looks.ts'

interface AutoShardingParts<P> {
  readonly projections: readonly Pick<ResolvedProjection<never, never>, 'unit' | 'autoShard'>[]
  readonly order: CountingOrder<P>
  readonly agent: {
    readonly mark: P | undefined
    firstSeenAboveMs(position: P | undefined): number | undefined
  }
  readonly operations: Pick<Operations<P>, 'split' | 'merge'>
  readonly places: () => Places
  /** Whether this process works on the unit. */
  readonly owns: (unit: Unit) => boolean
  readonly clock: Clock
  readonly logger: Logger
}

interface Sharded {
  readonly unit: Unit
  readonly max: number
  readonly failures: FailureLog
  history: ShardHistory
  /** A change that was asked for, until it has ended. */
  changing: Promise<void> | undefined
  notBeforeMs: number
}

/** How long after a change that was refused, or has failed, the next one is asked for. */
const AGAIN_AFTER_MS = 60_000

const AUTO_SHARD = 'autoShard'

/**
 * Changes the shards of projections that have `autoShard`, as the policy decides (auto-shard.ts) from what each look has found. Of several processes
 * the one that works on the shard with the lowest slots does so; all of them look, so that any can go on. That two do it at once is harmless: the
 * transaction of a change compares what it finds, and the second one finds it done.
 */
export class AutoSharding<P> {
  readonly #parts: AutoShardingParts<P>
  readonly #sharded: readonly Sharded[]
  readonly #stopping = new AbortController()
  readonly #busyShare = busyMeter()
  #origin: P | undefined

  constructor(parts: AutoShardingParts<P>) {
    this.#parts = parts
    this.#sharded = parts.projections.flatMap(({ unit, autoShard }) =>
      autoShard === undefined
        ? []
        : {
            unit,
            max: autoShard.max,
            failures: new FailureLog(),
            history: NOTHING_SEEN,
            changing: undefined,
            notBeforeMs: 0,
          },
    )
  }

  /** Takes in what is stored of the source. */
  follow(stored: readonly ControlledUnit[]): void {
    const { order, agent, places, clock } = this.#parts
    const { mark } = agent
    if (mark === undefined) return
    this.#origin ??= mark
    const around = {
      order,
      mark,
      origin: this.#origin,
      firstSeenAboveMs: (position: P) => agent.firstSeenAboveMs(position),
      places: places(),
      busyShare: this.#busyShare(),
      nowMs: clock.nowMs(),
    }
    for (const sharded of this.#sharded) {
      const look = lookAtShards(sharded.unit, stored, around)
      if (look === undefined) continue
      sharded.history = withLook(sharded.history, look)
      const [first] = look.shards
      if (first !== undefined && this.#parts.owns({ ...sharded.unit, slots: first.slots }))
        this.#decide(sharded)
    }
  }

  /** Resolves when no change is under way. */
  async drain(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#sharded.flatMap(({ changing }) => changing ?? []))
  }

  #decide(sharded: Sharded): void {
    const { history, max, changing, notBeforeMs } = sharded
    if (changing !== undefined || this.#stopping.signal.aborted || this.#parts.clock.nowMs() < notBeforeMs)
      return
    const decision = decideShards(history, max)
    if (decision === undefined) return
    sharded.changing = inBackground(() => this.#change(sharded, decision)).finally(() => {
      sharded.changing = undefined
    })
  }

  async #change(sharded: Sharded, { kind, slots, why }: ShardDecision): Promise<void> {
    const { clock, logger, operations } = this.#parts
    const { signal } = this.#stopping
    const { projection, version } = sharded.unit
    const name = `tidemark: ${AUTO_SHARD} of "${projection}"`
    const shard = unitName({ projection, version, slots })
    const what = kind === 'split' ? `${shard} is cut into two` : `two shards become ${shard}`
    try {
      const { outcome } = await operations[kind]({ projection, version, slots, who: AUTO_SHARD, why, signal })
      sharded.failures.ended(clock.nowMs())
      if (outcome === 'done') logger.info(`${name}: ${what}: ${why}`)
    } catch (error) {
      if (signal.aborted) return
      sharded.notBeforeMs = clock.nowMs() + AGAIN_AFTER_MS
      if (!sharded.failures.failed(clock.nowMs())) return
      logger.warn(
        `${name}: that ${what} has failed, and is decided anew in a minute: ${describeError(error)}`,
      )
    }
  }
}

/** How much of its time the process was at work since it was asked before. */
function busyMeter(): () => number {
  let before = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    return utilization
  }
}
