import type { Clock, EventSource } from '@tidemark/core'
import {
  denseOrder,
  type HighWaterRequest,
  passStaleGaps,
  type StaleThreshold,
  startStaleThreshold,
} from '@tidemark/core/adapter'
import type { InMemoryEvent } from '@tidemark/core/testing'

export type GuessedEvent = InMemoryEvent<unknown> & { readonly metadata?: unknown }

export const THRESHOLD_MS = 1_000

/** A store whose writers cannot be named: gaps are passed once they are older than the threshold. */
export class GuessingStore {
  readonly #visible = new Map<bigint, GuessedEvent>()
  readonly #clock: Clock
  readonly #name: string

  constructor(clock: Clock, name = 'guessing') {
    this.#clock = clock
    this.#name = name
  }

  show(...positions: bigint[]): void {
    for (const position of positions) this.showWith(position, undefined)
  }

  showWith(position: bigint, metadata: unknown): void {
    this.#visible.set(position, { position, type: position % 2n ? 'odd' : 'even', data: undefined, metadata })
  }

  source(): EventSource<bigint, GuessedEvent> {
    const ascending = (after: bigint | undefined): GuessedEvent[] =>
      [...this.#visible.values()]
        .filter((event) => after === undefined || event.position > after)
        .sort((a, b) => Number(a.position - b.position))
    return {
      name: this.#name,
      order: denseOrder,
      filtersByType: true,
      passesUnproven: true,
      lateEventWindowMs: 600_000,
      findIn: async (runs) =>
        ascending(undefined).filter(({ position }) =>
          runs.some(({ from, to }) => from <= position && position <= to),
        ),
      isTransient: () => false,
      open: async () => ({ incarnation: 'only', memory: undefined }),
      readHighWater: async ({ previous, stored = [] }: HighWaterRequest<bigint>) => {
        const resumed = stored.reduce<bigint | undefined>(
          (mark, { position }) => (position !== undefined && position > (mark ?? -1n) ? position : mark),
          undefined,
        )
        const before = (previous?.memory as StaleThreshold | undefined) ?? startStaleThreshold(resumed, 0n)
        const head = ascending(undefined).at(-1)?.position
        const visible = ascending(before.mark).map((event) => event.position)
        const nowMs = this.#clock.nowMs()
        const times = { askedAtMs: nowMs, answeredAtMs: nowMs }
        const { state, skipped, gaps } = passStaleGaps(before, { head, visible, ...times }, THRESHOLD_MS)
        return {
          head,
          settled: state.mark,
          mark: state.mark,
          gaps,
          skipped,
          holders: [],
          provenEmpty: [],
          incarnation: 'only',
          logPosition: undefined,
          memory: state,
        }
      },
      load: async ({ after, upTo, limit, eventTypes }) => {
        const events = ascending(after)
          .filter(({ position, type }) => position <= upTo && (eventTypes?.includes(type) ?? true))
          .slice(0, limit)
        const last = events.at(-1)
        return {
          events,
          positions: events.map((event) => event.position),
          through: events.length === limit && last ? last.position : upTo,
        }
      },
    }
  }
}
