import type { Clock } from '../kernel/clock.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import type { OldestAbove, WatchSource } from '../ports/watch-source.ts'

/** A consumer whose lag in seconds means something: its checkpoint is a position, and it is known which types it handles. */
export interface LaggingConsumer {
  readonly consumer: string
  readonly position: bigint
  readonly types: readonly string[] | 'all'
}

interface Asked {
  readonly oldest: OldestAbove
  readonly atMs: number
}

const ASK_EVERY_MS = 1_000

/** How old the oldest settled event is that waits for a consumer, asked once a second. */
export class Lags {
  readonly #source: WatchSource
  readonly #clock: Clock
  #asked: ReadonlyMap<string, Asked> = new Map()
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(source: WatchSource, clock: Clock) {
    this.#source = source
    this.#clock = clock
  }

  async ask(
    reading: HighWaterReading<bigint>,
    consumers: readonly LaggingConsumer[],
    signal: AbortSignal,
  ): Promise<void> {
    const nowMs = this.#clock.nowMs()
    if (this.#source.oldestAbove === undefined || nowMs - this.#askedAtMs < ASK_EVERY_MS) return
    this.#askedAtMs = nowMs
    const behind = consumers.filter(({ position }) => isBelow(position, reading.mark))
    const answers = behind.length === 0 ? [] : await this.#source.oldestAbove({ reading, behind, signal })
    const atMs = this.#clock.nowMs()
    this.#asked = new Map(
      behind.flatMap(({ consumer }, index) => {
        const oldest = answers[index]
        return oldest === undefined ? [] : [[consumer, { oldest, atMs }] as const]
      }),
    )
  }

  /** `undefined`: it is not known. */
  lagMs({ consumer, position }: LaggingConsumer, mark: bigint | undefined): number | undefined {
    if (this.#source.oldestAbove === undefined || mark === undefined) return undefined
    if (!isBelow(position, mark)) return 0
    const asked = this.#asked.get(consumer)
    if (asked === undefined) return undefined
    if (asked.oldest === 'none') return 0
    const { appendedAtMs, position: oldest } = asked.oldest
    if (appendedAtMs === undefined) return undefined
    // Once it has passed that event, it lags no more than it did when that was asked.
    const untilMs = isBelow(position, oldest) ? this.#clock.nowMs() : asked.atMs
    return Math.max(0, untilMs - appendedAtMs)
  }
}

function isBelow(position: bigint, mark: bigint | undefined): boolean {
  return mark !== undefined && position < mark
}
