import { InvalidOptionError, LifecycleError } from '../kernel/errors.ts'
import { instrument, isStream } from './instrument.ts'
import { type MonitorOptions, resolveMonitorOptions } from './options.ts'
import type { SubscriptionStatus } from './status.ts'
import { SubscriptionMonitor } from './subscription-monitor.ts'
import { watchedFilter } from './watched-filter.ts'

/** What a subscription yields. */
export type ItemOf<S> = S extends AsyncIterable<infer Item> ? Item : never

/** Watches one subscription, or the calls of one handler. */
export interface SubscriptionWatch<P, Item> {
  /**
   * Watches this subscription, as `monitorSubscription` does, and returns the same object. A watch is for one; it ends with
   * it. Throws a `LifecycleError` when it has one already.
   */
  wrap<S extends AsyncIterable<Item>>(subscription: S): S
  /**
   * For a filtered subscription to `$all`: the same filter, whose checkpoints move the position past what it leaves out.
   * A `checkpointReached` of yours is called, and waited for, as before; but not with what is no position (2^64 - 1, which
   * EventStoreDB 24.2 to 24.10.3 gives from the start): who kept it would never get an event again.
   */
  filter<F extends object>(filter: F): F
  /**
   * Wraps a callback (`on('data')`) and returns a function that does the same: an event is processed when what `handler`
   * returns resolves; one that rejects holds the position until it comes again, or `handler` is called with it again and
   * succeeds.
   */
  handler<I extends Item, Rest extends unknown[], R>(
    handler: (item: I, ...rest: Rest) => R,
  ): (item: I, ...rest: Rest) => R
  /** Where it stands, computed now. */
  status(): SubscriptionStatus<P>
  /**
   * Ends the watch and withdraws what it shows, for consumers that end without their subscription. The subscription
   * itself goes on. May be called twice.
   */
  stop(): void
}

/**
 * Tells what goes on with a subscription that you already have: position, lag, delay, state, drops, stalls, and what was
 * skipped. Returns the same object with its own type; events pass unchanged, in order and with back-pressure, and your
 * listeners work as before. It takes a catch-up or persistent subscription of either client, or any other async iterable.
 *
 * - An event is *delivered* when it is handed over, and *processed* when `for await` comes back for the next. Of
 *   `on('data')` alone only the first is seen: take `watchSubscription`, and give the listener its `handler`.
 * - When a `for await` breaks or throws, and whenever the stream is destroyed, `unsubscribe()` is called: the clients
 *   leave their call to the server open otherwise.
 * - A checkpoint (`from`) that the store has not reached ends it with a `CheckpointBeyondHeadError`: the stream is destroyed
 *   with it, so that `for await` throws and `error` is emitted, as after any other drop. Two things have to say so: readings
 *   of the head, from the leader, or an event that comes from at or below it.
 * - Its timer does not keep the process alive, and ends with the subscription. The state that it ended in is shown until
 *   another subscription of the same `projection` is wrapped.
 *
 * Throws `AlreadyMonitoredError` when it is wrapped already, and `InvalidOptionError`. What telemetry throws never reaches
 * the subscription.
 */
export function monitorSubscription<S extends AsyncIterable<unknown>, P>(
  subscription: S,
  options: MonitorOptions<P, ItemOf<S>>,
): S {
  return watchSubscription(options).wrap(subscription as S & AsyncIterable<ItemOf<S>>)
}

/**
 * Tells what goes on with a consumer that takes a callback (`on('data')`, Emmett's `eachMessage`) and keeps its
 * subscription to itself. Returns a function that does the same. An event is processed when what `handler` returns
 * resolves; one that rejects holds the position until it comes again. Where you have the subscription yourself, take
 * `watchSubscription(...)` instead of this: `wrap` it and give it `handler`. That sees drops too, and counts each event
 * once, which `monitorSubscription` and `monitorHandler` together do not.
 *
 * It reports for the life of the process; `watchSubscription(...).handler(...)` can be stopped.
 */
export function monitorHandler<P, Item, Rest extends unknown[], R>(
  handler: (item: Item, ...rest: Rest) => R,
  options: MonitorOptions<P, Item>,
): (item: Item, ...rest: Rest) => R {
  const monitor = new SubscriptionMonitor(resolveMonitorOptions(options))
  monitor.begin()
  return new Watch(monitor).handler(handler)
}

/** For what `monitorSubscription` has no place for: a filter's checkpoints, a handler of a subscription, `status()`. */
export function watchSubscription<P, Item>(options: MonitorOptions<P, Item>): SubscriptionWatch<P, Item> {
  return new Watch(new SubscriptionMonitor(resolveMonitorOptions(options)))
}

class Watch<P, Item> implements SubscriptionWatch<P, Item> {
  readonly #monitor: SubscriptionMonitor<P, Item>

  constructor(monitor: SubscriptionMonitor<P, Item>) {
    this.#monitor = monitor
  }

  wrap<S extends AsyncIterable<Item>>(subscription: S): S {
    const monitor = this.#monitor
    if (monitor.isWatching) {
      throw new LifecycleError('this watch has a subscription already; make a new one for another')
    }
    instrument(subscription, monitor)
    monitor.watch(subscription)
    // Whatever else is iterable may never be asked, and would be watched for ever.
    if (isStream(subscription)) monitor.begin()
    return subscription
  }

  filter<F extends object>(filter: F): F {
    this.#monitor.expectFilter()
    return watchedFilter<P, F>(filter, (position, buffered) =>
      this.#monitor.checkpointReached(position, buffered),
    )
  }

  handler<I extends Item, Rest extends unknown[], R>(
    handler: (item: I, ...rest: Rest) => R,
  ): (item: I, ...rest: Rest) => R {
    const monitor = this.#monitor
    if (typeof handler !== 'function') throw new InvalidOptionError('handler', 'a function', handler)
    return function (this: unknown, item: I, ...rest: Rest): R {
      const end = monitor.handling(item)
      try {
        const result = handler.call(this, item, ...rest)
        if (!isThenable(result)) {
          end('done')
          return result
        }
        // Asked once: a query of a query builder (Prisma, Drizzle, Knex) runs when it is asked.
        const ending = result instanceof Promise ? result : Promise.resolve(result)
        // The same outcome: a rejection that nobody looks at is told of as before.
        return ending.then(
          (value: unknown) => {
            end('done')
            return value
          },
          (error: unknown) => {
            end('failed')
            throw error
          },
        ) as R
      } catch (error) {
        end('failed')
        throw error
      }
    }
  }

  status(): SubscriptionStatus<P> {
    return this.#monitor.status()
  }

  stop(): void {
    this.#monitor.stop()
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    'then' in value &&
    typeof value.then === 'function'
  )
}
