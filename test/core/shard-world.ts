import { SLOTS, type SlotRange } from '@tidemark/core/adapter'
import { decideShards, type ShardDecision } from '../../packages/core/src/daemon/auto-shard.ts'
import {
  NOTHING_SEEN,
  type SeenNode,
  type ShardHistory,
  type ShardLook,
  withLook,
} from '../../packages/core/src/daemon/shard-history.ts'

export interface WorldOptions {
  readonly max: number
  /** Events a second that one shard handles. */
  readonly handledPerSecond: number
  /** The share of the events that one slot has; the others have the rest evenly. */
  readonly hot?: { readonly slot: number; readonly share: number }
  readonly nodes?: readonly SeenNode[]
  readonly busyShare?: number
  readonly isHeld?: boolean
  /** Seconds between two looks. */
  readonly lookEveryS?: number
}

export interface Change extends ShardDecision {
  readonly atS: number
  readonly shards: number
}

const IDLE: readonly SeenNode[] = [{ isOwn: true, lagging: 0 }]

/** Shards whose handlers wait, under a load that the test names: events of each second are spread over slots, and positions are as many as events. */
export class ShardWorld {
  readonly changes: Change[] = []
  shards: { readonly slots: SlotRange; at: number }[] = [{ slots: { from: 0, to: SLOTS - 1 }, at: 0 }]
  history: ShardHistory = NOTHING_SEEN
  nowS = 0
  readonly #options: WorldOptions
  #appended = 0
  /** Each mark, and when it was first seen. */
  #marks: { readonly mark: number; readonly atS: number }[] = []

  constructor(options: WorldOptions) {
    this.#options = options
  }

  run(seconds: number, perSecond: number): this {
    const { lookEveryS = 5, max } = this.#options
    for (const endS = this.nowS + seconds; this.nowS < endS; ) {
      this.#work(lookEveryS, perSecond)
      this.history = withLook(this.history, this.look())
      const decision = decideShards(this.history, max)
      if (decision) this.#change(decision)
    }
    return this
  }

  /** The share of the events that these slots have. */
  share({ from, to }: SlotRange): number {
    const { slot, share } = this.#options.hot ?? { slot: 0, share: 1 / SLOTS }
    const isHot = from <= slot && slot <= to
    const others = to - from + 1 - (isHot ? 1 : 0)
    return (isHot ? share : 0) + (others * (1 - share)) / (SLOTS - 1)
  }

  look(): ShardLook {
    const { nodes = IDLE, busyShare = 0, isHeld = false } = this.#options
    const shards = this.shards.map(({ slots, at }) => {
      const first = this.#marks.find(({ mark }) => mark > at)
      return { slots, behind: this.#appended - at, lagMs: first ? 1_000 * (this.nowS - first.atS) : 0 }
    })
    return { atMs: 1_000 * this.nowS, mark: this.#appended, shards, nodes, busyShare, isHeld }
  }

  #work(seconds: number, perSecond: number): void {
    this.nowS += seconds
    this.#appended += seconds * perSecond
    this.#marks.push({ mark: this.#appended, atS: this.nowS })
    for (const shard of this.shards) {
      const most = (seconds * this.#options.handledPerSecond) / this.share(shard.slots)
      shard.at = Math.min(this.#appended, shard.at + most)
    }
    const least = Math.min(...this.shards.map(({ at }) => at))
    this.#marks = this.#marks.filter(({ mark }) => mark > least)
  }

  #change(decision: ShardDecision): void {
    const { kind, slots } = decision
    const { from, to } = slots
    const own = this.shards.filter((shard) => from <= shard.slots.from && shard.slots.to <= to)
    const at = Math.min(...own.map((shard) => shard.at))
    const half = from + Math.floor((to - from + 1) / 2)
    const ranges =
      kind === 'merge'
        ? [slots]
        : [
            { from, to: half - 1 },
            { from: half, to },
          ]
    this.shards = [
      ...this.shards.filter((shard) => !own.includes(shard)),
      ...ranges.map((each) => ({ slots: each, at })),
    ]
    this.shards.sort((a, b) => a.slots.from - b.slots.from)
    this.changes.push({ ...decision, atS: this.nowS, shards: this.shards.length })
  }
}
