import { createHighWaterAgent, type HighWaterAgent } from '../high-water/agent.ts'
import type { Clock } from '../kernel/clock.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import type { WatchSource } from '../ports/watch-source.ts'

interface WatchedPollsOptions {
  readonly source: WatchSource
  readonly pollTimeShare: number
  readonly clock: Clock
  /** They halted, and begin anew: what was found. */
  readonly onHalted: (error: unknown) => void
  /** Nothing that was seen of the store holds any more: it may be another run of it. */
  readonly onForgotten: () => void
}

/** The polls of a source that is watched. Where they halt, they begin anew. */
export class WatchedPolls {
  readonly #options: WatchedPollsOptions
  #agent: HighWaterAgent<bigint> | undefined
  #incarnation: string | undefined

  constructor(options: WatchedPollsOptions) {
    this.#options = options
  }

  get mark(): bigint | undefined {
    return this.#agent?.mark
  }

  /** Polls once, checking every condition, and goes on. Rejects as `agent.start()` does. */
  async begin(): Promise<void> {
    const { source, pollTimeShare, clock } = this.#options
    const agent = createHighWaterAgent({ source, pollTimeShare, pollDelayMs: 0, clock })
    this.#agent = agent
    await agent.start().catch((error: unknown) => {
      this.#agent = undefined
      throw error
    })
  }

  /** The newest poll; `undefined` before the first one. Rejects while polls fail. */
  async reading(): Promise<HighWaterReading<bigint> | undefined> {
    if (this.#agent?.status().state === 'halted') {
      this.#options.onHalted(this.#agent.status().error)
      await this.forget()
    }
    if (this.#agent === undefined) await this.begin()
    const { state, error } = this.#agent?.status() ?? {}
    if (state === 'failing' && error !== undefined) throw error
    return this.#known(this.#agent?.reading)
  }

  /** The reading of a poll that begins after this call; `undefined` where it is of another run of the store. */
  async freshReading(signal: AbortSignal): Promise<HighWaterReading<bigint> | undefined> {
    const before = this.#incarnation
    const reading = this.#known(await this.#agent?.freshReading({ signal }))
    return reading?.incarnation === before ? reading : undefined
  }

  /** Says that there is something to learn from another poll. */
  wake(): void {
    this.#agent?.wake()
  }

  /** Ends these polls; the next `reading` begins others. */
  async forget(): Promise<void> {
    const agent = this.#agent
    this.#agent = undefined
    this.#incarnation = undefined
    this.#options.onForgotten()
    await agent?.stop()
  }

  async stop(): Promise<void> {
    await this.#agent?.stop()
  }

  #known(reading: HighWaterReading<bigint> | undefined): HighWaterReading<bigint> | undefined {
    if (reading && this.#incarnation !== undefined && reading.incarnation !== this.#incarnation) {
      this.#options.onForgotten()
    }
    this.#incarnation = reading?.incarnation
    return reading
  }
}
