import { InvalidOptionError, LifecycleError } from '../kernel/errors.ts'
import { ResubscribingLoop, type ResubscribingStatus } from './resubscribing-loop.ts'
import { type ResubscribingOptions, resolveResubscribingOptions } from './resubscribing-options.ts'
import type { Subscribe } from './round.ts'

/** The events of subscriptions that follow each other, for one `for await`. */
export interface Resubscribing<P, Item> extends AsyncIterable<Item> {
  /** Where it stands, computed now. While it waits to subscribe again, `error` and `dropReason` say why. */
  status(): ResubscribingStatus<P>
}

/**
 * Monitors a catch-up subscription as `monitorSubscription` does, and makes another one when it was dropped: from the last
 * processed position, after a wait of 1 to 7.5 s that grows while it fails.
 *
 * ```ts
 * const orders = resubscribing((from) => client.subscribeToStream('orders', { fromRevision: from }), {
 *   projection: 'mailer',
 *   source: esdbEvents({ client, stream: 'orders' }),
 *   from: (await storedRevision()) ?? 'start',
 *   metrics,
 * })
 * for await (const { event } of orders) await mail(event)
 * ```
 *
 * - An event is processed when the loop comes back for the next: it does not come again. Each event comes once, in order.
 *   What the loop does with several at the same time is not seen.
 * - It subscribes again after an error that the source knows as passing (`isTransient`), and after an end without one. Every
 *   other error ends the loop, which throws it: access denied, a deleted stream, `CheckpointBeyondHeadError`, what `subscribe`
 *   throws, and what the source does not know.
 * - All is one series: totals go on, each drop is counted, the state is `dropped` until the next subscription is answered,
 *   and then as usual. A try that fails is no drop of its own.
 * - `break`, an error in the loop, `return()` and `signal` leave neither a call to the server nor a timer.
 *
 * Throws `InvalidOptionError`, also in the loop where `subscribe` returns a persistent subscription: its events have to be
 * acknowledged on the very subscription that brought them. A second loop throws a `LifecycleError`.
 */
export function resubscribing<P, Item>(
  subscribe: Subscribe<P, Item>,
  options: ResubscribingOptions<P, Item>,
): Resubscribing<P, Item> {
  if (typeof subscribe !== 'function') {
    throw new InvalidOptionError('subscribe', 'a function that makes a subscription', subscribe)
  }
  const loop = new ResubscribingLoop(subscribe, resolveResubscribingOptions(options))
  let isTaken = false
  return {
    status: () => loop.status(),
    [Symbol.asyncIterator]: () => {
      if (isTaken) throw new LifecycleError('this has a loop already; call resubscribing again for another')
      isTaken = true
      loop.begin()
      return loop
    },
  }
}
