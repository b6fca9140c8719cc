import type { HandlerCalls } from '../failures/handler-timeout.ts'
import { hasCode } from '../kernel/errors.ts'
import type { CheckpointStore, CrossedRun } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import { traced } from '../telemetry/background.ts'
import { failedBatch } from './failed-batch.ts'
import { parkingOf } from './parking.ts'
import type { ResolvedProjection } from './projection.ts'
import type { UserCalls } from './switching.ts'

export interface UserCodeParts<P, E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly source: EventSource<P, E>
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
  readonly calls: HandlerCalls
}

/** What the user's functions do for one request, and which of them has failed. */
export class UserCode<P, E, Tx> implements UserCalls<P, E, Tx> {
  readonly #parts: UserCodeParts<P, E, Tx>
  readonly #tooLong = new AbortController()
  #failure: { readonly name: string; readonly error: unknown } | undefined

  constructor(parts: UserCodeParts<P, E, Tx>) {
    this.#parts = parts
  }

  /** Fires when the handler has taken longer than `handlerTimeoutMs`. */
  get tooLong(): AbortSignal {
    return this.#tooLong.signal
  }

  /** `name`: of the function that has thrown it; `undefined` where none has. */
  failureOf(thrown: unknown): { readonly name: string | undefined; readonly error: unknown } {
    const { aborted, reason } = this.#tooLong.signal
    if (aborted) return { name: 'handle', error: reason }
    // It was not the handler that could not write it.
    if (hasCode(thrown, 'TIDEMARK_DEAD_LETTER_NOT_WRITTEN')) return { name: undefined, error: thrown }
    const failure = this.#failure
    return failure !== undefined && Object.is(failure.error, thrown)
      ? failure
      : { name: undefined, error: thrown }
  }

  async call(name: string, call: () => Promise<void> | void): Promise<void> {
    try {
      await traced(call)
    } catch (error) {
      this.#failure = { name, error }
      throw error
    }
  }

  async handle(page: ReadPage<P, E>, tx: Tx): Promise<readonly CrossedRun[]> {
    let passed: readonly CrossedRun[] = []
    await this.call('handle', async () => {
      const parking = parkingOf(this.#parts, page)
      const parted = await parking?.part(tx)
      const events = parted?.handed ?? page.events
      if (events.length > 0) await this.#hand(page, events, tx)
      await parted?.bury()
      passed = parking?.passed ?? []
    })
    return passed
  }

  async #hand(page: ReadPage<P, E>, events: readonly E[], tx: Tx): Promise<void> {
    const { projection, source, calls } = this.#parts
    const call = calls.next(failedBatch(source, page))
    const { signal } = call
    const giveUp = (): void => {
      if (call.timedOut !== undefined) this.#tooLong.abort(call.timedOut)
    }
    signal.addEventListener('abort', giveUp)
    try {
      await call.run(() => projection.handle(events, { tx, signal }))
    } finally {
      signal.removeEventListener('abort', giveUp)
      call.dispose()
    }
  }
}
