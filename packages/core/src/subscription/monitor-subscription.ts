import { LifecycleError } from '../kernel/errors.ts'
import { instrument } from './instrument.ts'
import { Monitor } from './monitor.ts'
import { monitoredFilter } from './monitored-filter.ts'
import { monitoredHandler } from './monitored-handler.ts'
import { type MonitorOptions, resolveMonitorOptions } from './options.ts'
import type { SubscriptionStatus } from './status.ts'
import { isStream } from './subscription-kind.ts'

/** Monitors one subscription that you have. */
export interface SubscriptionMonitor<P, Item> extends AsyncDisposable {
  /**
   * Makes this subscription tell what happens to it, and returns the same object with its own type. Events pass unchanged,
   * in order and with back-pressure, and your listeners work as before.
   *
   * Throws an `AlreadyMonitoredError` when the subscription is wrapped already, and a `LifecycleError` when this monitor has
   * one: a monitor is for one subscription, and ends with it.
   */
  wrap<S extends AsyncIterable<Item>>(subscription: S): S
  /**
   * For a filtered subscription to `$all`: the same filter, whose checkpoints move the position past what it leaves out.
   * A `checkpointReached` of yours is called, and waited for, as before; but not with what is no position (2^64 - 1, which
   * EventStoreDB 24.2 to 24.10.3 gives from the start): who kept it would never get an event again.
   */
  filter<F extends object>(filter: F): F
  /**
   * Wraps a callback (`on('data')`) of the wrapped subscription and returns a function that does the same: an event is
   * processed when what `handler` returns resolves; one that rejects holds the position until it comes again, or `handler`
   * is called with it again and succeeds.
   */
  handler<I extends Item, Rest extends unknown[], R>(
    handler: (item: I, ...rest: Rest) => R,
  ): (item: I, ...rest: Rest) => R
  /** Where it stands, computed now. */
  status(): SubscriptionStatus<P>
  /**
   * Ends the monitor and withdraws what it shows, for consumers that end without their subscription. The subscription
   * itself goes on. May be called twice. `await using` calls it.
   */
  stop(): void
}

/**
 * Tells what goes on with a subscription that you already have: position, lag, delay, state, drops, stalls, and what was
 * skipped. It takes a catch-up or persistent subscription of either client, or any other async iterable.
 *
 * ```ts
 * const monitor = monitorSubscription({ projection: 'mailer', source: esdbEvents({ client, stream: 'orders' }), metrics })
 * for await (const { event } of monitor.wrap(client.subscribeToStream('orders'))) await mail(event)
 * ```
 *
 * - An event is *delivered* when it is handed over, and *processed* when `for await` comes back for the next. Of
 *   `on('data')` alone only the first is seen: give the listener `monitor.handler(...)`.
 * - When a `for await` breaks or throws, and whenever the stream is destroyed, `unsubscribe()` is called: the clients
 *   leave their call to the server open otherwise.
 * - A checkpoint (`from`) that the store has not reached ends it with a `CheckpointBeyondHeadError`: the stream is destroyed
 *   with it, so that `for await` throws and `error` is emitted, as after any other drop. Two things have to say so: readings
 *   of the head, from the leader, or an event that comes from at or below it.
 * - Its timer does not keep the process alive, and ends with the subscription. The state that it ended in is shown until
 *   another subscription of the same `projection` is wrapped.
 *
 * Throws `InvalidOptionError`. What telemetry throws never reaches the subscription.
 */
export function monitorSubscription<P, Item>(options: MonitorOptions<P, Item>): SubscriptionMonitor<P, Item> {
  const monitor = new Monitor(resolveMonitorOptions(options))
  const stop = (): void => monitor.stop()
  return {
    wrap: (subscription) => {
      if (monitor.isAttached) {
        throw new LifecycleError('this monitor has a subscription already; make a new one for another')
      }
      instrument(subscription, monitor)
      monitor.attach(subscription)
      // Whatever else is iterable may never be asked, and would be monitored for ever.
      if (isStream(subscription)) monitor.begin()
      return subscription
    },
    filter: (filter) => {
      monitor.expectFilter()
      return monitoredFilter(filter, (position: P, buffered) => monitor.checkpointReached(position, buffered))
    },
    handler: (handler) => monitoredHandler(monitor, handler),
    status: () => monitor.status(),
    stop,
    [Symbol.asyncDispose]: async () => stop(),
  }
}
