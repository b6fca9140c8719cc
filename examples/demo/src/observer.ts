import type { HandlerContext, HighWaterReading, Projection, Telemetry } from '@tidemark/core'
import type { AccountEvent } from './event.ts'
import { Moments } from './moments.ts'

/** What the daemon tells: when events were handled, what was proven empty, and what went wrong. */
export class Observer {
  /** When a projection's effect was committed, for each position. */
  readonly handledAt: Map<string, Moments> = new Map()
  /** Events handled and committed, for each projection. */
  readonly handled: Map<string, number> = new Map()
  provenEmpty = 0n
  /** The newest things that went wrong, and how many there were in all. */
  readonly troubles: string[] = []
  troubleCount = 0
  readonly #inBatch = new Map<string, readonly AccountEvent[]>()
  #lastReading: HighWaterReading<unknown> | undefined

  readonly telemetry: Telemetry = {
    polled: ({ reading }) => this.#polled(reading),
    pollFailed: ({ error }) => this.trouble('a poll failed', error),
    batchProcessed: ({ projection, events }) => this.#processed(projection, events),
    handlerFailed: ({ projection, action, error }) => this.trouble(`${projection}, ${action}`, error),
    storeFailed: ({ projection, error }) => this.trouble(`${projection}, retry`, error),
    checkpointConflict: ({ projection }) => this.trouble(projection, 'another owner moves its checkpoint'),
  }

  /** The same projection, with its batches noted. */
  observe<Tx>(projection: Projection<AccountEvent, Tx>): Projection<AccountEvent, Tx> {
    const { name } = projection
    this.handledAt.set(name, new Moments())
    this.handled.set(name, 0)
    return {
      ...projection,
      handle: async (events: readonly AccountEvent[], context: HandlerContext<Tx>) => {
        this.#inBatch.set(name, events)
        await projection.handle(events, context)
      },
    }
  }

  trouble(what: string, error: unknown): void {
    this.troubleCount++
    this.troubles.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    if (this.troubles.length > 5) this.troubles.shift()
  }

  /** A probe that found nothing new reports the reading of the poll before. */
  #polled(reading: HighWaterReading<unknown>): void {
    if (reading === this.#lastReading) return
    this.#lastReading = reading
    for (const { from, to } of reading.provenEmpty) {
      this.provenEmpty += (to as bigint) - (from as bigint) + 1n
    }
  }

  /** Comes after the commit of the batch that `handle` saw last. */
  #processed(name: string, events: number): void {
    const now = performance.now()
    for (const { position } of this.#inBatch.get(name) ?? []) {
      this.handledAt.get(name)?.set(Number(position), now)
    }
    this.handled.set(name, (this.handled.get(name) ?? 0) + events)
  }
}
