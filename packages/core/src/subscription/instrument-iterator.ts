import { own } from './own-property.ts'
import type { Probe } from './probe.ts'
import { type Instrumentable, isStream } from './subscription-kind.ts'

/** Makes each iterator of a subscription tell `probe` what is asked of it. `leave`: ends the call behind it. */
export function instrumentIterator(subscription: Instrumentable, probe: Probe, leave: () => void): void {
  const iterate = subscription[Symbol.asyncIterator]
  if (iterate === undefined) return
  const known = new WeakSet<object>()
  const instrumented = (iterator: AsyncIterator<unknown>): AsyncIterator<unknown> => {
    if (!known.has(iterator)) {
      known.add(iterator)
      instrumentNext(iterator, probe, leave, isStream(subscription))
      instrumentLeaving(iterator, probe, leave)
    }
    return iterator
  }
  // A generator is its own iterator, and may be asked without being iterated.
  if ('next' in subscription) instrumented(subscription as unknown as AsyncIterator<unknown>)
  own(subscription, Symbol.asyncIterator, function (this: unknown): AsyncIterator<unknown> {
    const iterator = instrumented(iterate.call(this as Instrumentable))
    probe.iterating()
    return iterator
  })
}

function instrumentNext(
  iterator: AsyncIterator<unknown>,
  probe: Probe,
  leave: () => void,
  tellsByItself: boolean,
): void {
  const next = iterator.next
  type Arguments = Parameters<typeof next>
  if (tellsByItself) {
    own(iterator, 'next', function (this: unknown, ...args: Arguments) {
      probe.cameBack()
      return Reflect.apply(next, this, args)
    })
    return
  }
  own(iterator, 'next', async function (this: unknown, ...args: Arguments) {
    probe.iterating()
    probe.cameBack()
    try {
      const result = await probe.orFailure(Reflect.apply(next, this, args))
      if (result.done) {
        probe.ended()
        probe.closed()
      } else probe.delivered(result.value)
      return result
    } catch (error) {
      probe.dropped(error)
      leave()
      probe.closed()
      throw error
    }
  })
}

/** What `for await` calls when its body breaks or throws; `throw` is what a stream made of it (`Readable.from`) calls. */
function instrumentLeaving(iterator: AsyncIterator<unknown>, probe: Probe, leave: () => void): void {
  const { return: end, throw: fail } = iterator
  if (fail !== undefined) {
    own(iterator, 'throw', async function (this: unknown, error?: unknown) {
      // A generator may catch it, and go on.
      let isOver = true
      try {
        const result = await fail.call(this as typeof iterator, error)
        isOver = result.done === true
        return result
      } finally {
        if (isOver) {
          leave()
          probe.closed()
        }
      }
    })
  }
  own(iterator, 'return', async function (this: unknown, value?: unknown) {
    leave()
    try {
      return end === undefined ? { done: true, value } : await end.call(this as typeof iterator, value)
    } finally {
      probe.closed()
    }
  })
}
