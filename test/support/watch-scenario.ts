import { type Clock, type ConsumerCheckpoints, createWatch, type Metrics } from '@tidemark/core'
import {
  denseOrder,
  type HighWaterReading,
  type OldestAbove,
  type OldestRequest,
  type StandingInLog,
  type VisibleEvent,
  type WatchSource,
} from '@tidemark/core/adapter'
import { inMemoryCheckpoints } from '@tidemark/core/testing'

/** Events at positions that a test makes visible, and consumers whose checkpoints it moves. */
export class WatchedStore {
  readonly visible = new Map<bigint, string>()
  readonly checkpoints = new Map<string, bigint>()
  readonly revisions = new Map<string, string>()
  /** Of consumers with a log of their own. */
  readonly standings = new Map<string, StandingInLog>()
  settled = 0n
  head = 0n
  incarnation = 'first'
  /** Which parts the table has. */
  layout: string | undefined
  /** The trace that appended the events. */
  traceparent: string | undefined
  /** When the events were appended, where that is known. */
  appendedAtMs: number | undefined
  /** While it is set, every look fails with it. */
  failure: Error | undefined

  get source(): WatchSource {
    return {
      name: 'watched',
      order: denseOrder,
      filtersByType: true,
      isTransient: (error) => error === this.failure,
      open: async () => ({ incarnation: this.incarnation, memory: undefined }),
      readHighWater: async () => this.#reading(),
      ...(this.appendedAtMs === undefined
        ? {}
        : { oldestAbove: async ({ behind }) => behind.map((each) => this.#oldest(each)) }),
      look: async ({ runs, above, upTo = this.head }) => {
        if (this.failure) throw this.failure
        const events = [...this.visible].toSorted(([a], [b]) => (a < b ? -1 : 1))
        const isAsked = (position: bigint): boolean =>
          runs.some(({ from, to }) => from <= position && position <= to)
        const appeared = events.filter(([position]) => isAsked(position)).map((each) => this.#event(each))
        const visible = events
          .filter(([position]) => position > above && position <= upTo)
          .map((each) => this.#event(each))
        const last = visible.at(-1)?.position ?? above
        const isAtEnd = last >= upTo
        return { appeared, unseen: [], visible, through: isAtEnd ? last : upTo, layout: this.layout }
      },
    }
  }

  consumers(eventTypes: ConsumerCheckpoints['eventTypes'] = {}): ConsumerCheckpoints {
    return {
      name: 'loops',
      eventTypes,
      read: async () =>
        [...this.checkpoints].map(([consumer, position]) => ({
          consumer,
          checkpoint: { kind: 'position', position },
          text: String(position),
          run: undefined,
          revision: this.revisions.get(consumer),
          inLog: this.standings.get(consumer),
        })),
    }
  }

  #event([position, type]: readonly [bigint, string]): VisibleEvent {
    return { position, type, transaction: undefined, traceparent: this.traceparent }
  }

  #oldest({ position, types }: OldestRequest['behind'][number]): OldestAbove {
    const oldest = [...this.visible]
      .filter(
        ([at, type]) => at > position && at <= this.settled && (types === 'all' || types.includes(type)),
      )
      .map(([at]) => at)
      .toSorted((a, b) => (a < b ? -1 : 1))[0]
    return oldest === undefined ? 'none' : { position: oldest, appendedAtMs: this.appendedAtMs }
  }

  #reading(): HighWaterReading<bigint> {
    const { head, settled, incarnation } = this
    const mark = [...this.visible.keys()].filter((position) => position <= settled).at(-1)
    const holders = [{ transaction: '3/7', pid: 4_711, applicationName: 'importer', startedAt: undefined }]
    const nothing = { gaps: [], provenEmpty: [], skipped: [], logPosition: undefined, memory: undefined }
    return { head, settled, mark, holders: head > settled ? holders : [], incarnation, ...nothing }
  }
}

/**
 * Makes everything happen that an instrument of watched consumers tells of: `loops.named` and `loops.unnamed` lose an event, and
 * stand behind another open number; `loops.slow` lags; `loops.group` has parked events and stands beyond its log, `loops.stream` off it.
 */
export async function watchScenario(
  metrics: Metrics,
  clock: Clock,
  wait: (ms: number) => Promise<void>,
): Promise<{ stop(): Promise<void> }> {
  const store = new WatchedStore()
  const moveTo = (position: bigint): void => {
    for (const consumer of ['named', 'unnamed']) store.checkpoints.set(consumer, position)
  }
  const show = (...positions: bigint[]): void => {
    for (const position of positions) store.visible.set(position, 'a')
  }
  store.checkpoints.set('slow', 1n)
  for (const [consumer, place, parked] of [
    ['group', 'beyond_log', 3n],
    ['stream', 'off_log', undefined],
  ] as const) {
    store.checkpoints.set(consumer, 1n)
    store.standings.set(consumer, { place, lagPositions: undefined, parked })
  }
  store.appendedAtMs = clock.nowMs()
  show(1n)
  store.head = 1n
  store.settled = 1n
  moveTo(1n)
  const watch = createWatch({
    source: store.source,
    consumers: store.consumers({ named: ['a'], slow: 'all' }),
    ledger: inMemoryCheckpoints(),
    metrics,
    clock,
  })
  const started = watch.start()
  await wait(1_000)
  await started
  show(3n)
  store.head = 3n
  moveTo(3n)
  await wait(1_000)
  show(4n, 6n)
  store.head = 6n
  moveTo(6n)
  await wait(1_000)
  show(2n)
  await wait(2_000)
  store.settled = 4n
  await wait(2_000)
  return {
    stop: async () => {
      const stopped = watch.stop()
      await wait(2_000)
      await stopped
    },
  }
}
