import { AsyncResource } from 'node:async_hooks'
import { isConfirmed, isPersistent, isStream } from './subscription-kind.ts'

/** The subscription at hand. Held weakly, so that one that nobody holds any more can be collected. */
export class AttachedSubscription {
  readonly isPersistent: boolean
  /** Whether it tells by itself that its server has accepted it. */
  readonly isConfirmed: boolean
  readonly #isStream: boolean
  readonly #subscription: WeakRef<object>
  readonly #onFailed: (error: Error) => void
  #failure: Error | undefined
  #rejectWait: (error: Error) => void = () => {}

  /** `onFailed`: what is not a stream does not tell by itself that it has failed. */
  constructor(subscription: object, onFailed: (error: Error) => void) {
    this.#subscription = new WeakRef(subscription)
    this.isPersistent = isPersistent(subscription)
    this.isConfirmed = isConfirmed(subscription)
    this.#isStream = isStream(subscription)
    this.#onFailed = onFailed
  }

  /** Whether nobody else holds it any more: nothing comes of it then. */
  get isCollected(): boolean {
    return this.#subscription.deref() === undefined
  }

  /** Whether items wait in its buffer. */
  get isBuffered(): boolean {
    const { readableLength = 0 } = (this.#subscription.deref() ?? {}) as { readonly readableLength?: number }
    return readableLength > 0
  }

  /**
   * Ends it with that error. Bound to where it was attached: who listens to its `error` may subscribe anew, which is the
   * consumer's own work again.
   */
  readonly fail: (error: Error) => void = AsyncResource.bind((error: Error) => {
    if (this.#isStream) {
      const found = this.#subscription.deref() as { destroy?(error: Error): unknown } | undefined
      found?.destroy?.(error)
      return
    }
    this.#failure = error
    this.#onFailed(error)
    this.#rejectWait(error)
  })

  /** Waits for the next item, or for the error that it is ended with. `canFail`: whether `fail` may still be called. */
  orFailure<T>(coming: Promise<T>, canFail: boolean): Promise<T> {
    if (this.#failure !== undefined) {
      // Nobody waits for it any more, whatever comes of it.
      Promise.resolve(coming).catch(() => {})
      return Promise.reject(this.#failure)
    }
    if (!canFail) return coming
    // Only the newest wait is kept, to be rejected, and none once it cannot fail.
    return new Promise((resolve, reject) => {
      this.#rejectWait = reject
      Promise.resolve(coming).then(resolve, reject)
    })
  }
}
