import { Readable, Transform, type TransformCallback } from 'node:stream'

export interface TestEvent {
  readonly position: bigint
  readonly appendedAtMs: number | undefined
  readonly hasEvent: boolean
  readonly metadata?: unknown
}

export function event(position: bigint, parts: Partial<TestEvent> = {}): TestEvent {
  return { position, appendedAtMs: undefined, hasEvent: true, ...parts }
}

type Response =
  | { readonly kind: 'confirmation' | 'caughtUp' | 'fellBehind' }
  | { readonly kind: 'checkpoint'; readonly position: bigint }
  | { readonly kind: 'event'; readonly event: TestEvent }

class CancelledError extends Error {}

/** The gRPC call behind a subscription: open until it is cancelled, fails or is ended by the server. */
export class Call extends Readable {
  isOpen = true
  cancelled = 0

  constructor() {
    super({ objectMode: true })
  }

  override _read(): void {}

  tell(kind: 'confirmation' | 'caughtUp' | 'fellBehind'): void {
    this.push({ kind })
  }

  send(...events: readonly TestEvent[]): void {
    for (const each of events) this.push({ kind: 'event', event: each })
  }

  checkpoint(position: bigint): void {
    this.push({ kind: 'checkpoint', position })
  }

  /** As grpc-js does it: the end first, then the error. */
  fail(error: Error): void {
    this.#finish()
    this.emit('error', error)
  }

  end(): void {
    this.#finish()
  }

  cancel(): void {
    this.cancelled++
    if (!this.isOpen) return
    this.#finish()
    this.emit('error', new CancelledError())
  }

  #finish(): void {
    this.isOpen = false
    this.push(null)
  }
}

type CheckpointReached = (
  subscription: ClientSubscription,
  position: bigint,
) => Promise<void> | void | undefined

/**
 * A catch-up subscription, as both clients do it (`dist/streams/utils/Subscription.js`): private fields,
 * errors by `emit` and not by `destroy`, checkpoints that are waited for, and an `unsubscribe` that alone ends the call.
 */
export class ClientSubscription extends Transform {
  readonly #call: Promise<Call>
  readonly #checkpointReached: CheckpointReached | undefined

  constructor(call: Call, checkpointReached?: CheckpointReached) {
    super({ objectMode: true })
    this.#call = Promise.resolve(call)
    this.#checkpointReached = checkpointReached
    void this.#initialize()
  }

  async #initialize(): Promise<void> {
    const call = await this.#call
    call
      .on('error', (error) => {
        if (!(error instanceof CancelledError)) this.emit('error', error)
      })
      .pipe(this)
  }

  override _transform(response: Response, _encoding: BufferEncoding, next: TransformCallback): void {
    void this.#take(response, next)
  }

  async #take(response: Response, next: TransformCallback): Promise<void> {
    if (response.kind === 'event') return next(null, response.event)
    if (response.kind === 'checkpoint') await this.#checkpointReached?.(this, response.position)
    else this.emit(response.kind)
    next()
  }

  async unsubscribe(): Promise<void> {
    const call = await this.#call
    return new Promise((resolve) => {
      setImmediate(() => {
        call.cancel()
        resolve()
      })
    })
  }

  declare [Symbol.asyncIterator]: () => AsyncIterableIterator<TestEvent>
}

/** A persistent one (`dist/persistentSubscription/utils/PersistentSubscriptionImpl.js`). */
export class PersistentClientSubscription extends ClientSubscription {
  readonly acknowledged: string[] = []
  failure: Error | undefined

  async ack(...events: readonly TestEvent[]): Promise<void> {
    await this.#write('ack', events)
  }

  async nack(
    action: 'park' | 'retry' | 'skip' | 'stop',
    reason: string,
    ...events: readonly TestEvent[]
  ): Promise<void> {
    await this.#write(`${action} (${reason})`, events)
  }

  async #write(what: string, events: readonly TestEvent[]): Promise<void> {
    await Promise.resolve()
    if (this.failure) throw this.failure
    this.acknowledged.push(`${what} ${events.map(({ position }) => position)}`)
  }
}
