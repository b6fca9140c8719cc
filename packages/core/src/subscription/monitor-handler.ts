import { createLossMonitor, type LossMonitor } from '../watch/loss-monitor.ts'
import type { LossMonitorOptions } from '../watch/loss-monitor-options.ts'
import { Monitor } from './monitor.ts'
import { monitoredHandler } from './monitored-handler.ts'
import { type MonitorOptions, resolveMonitorOptions } from './options.ts'
import type { SubscriptionStatus } from './status.ts'

/** Monitors the calls of one handler. */
export interface HandlerMonitor<P, Item> extends AsyncDisposable {
  /**
   * Returns a function that does the same as `handler`. An event is processed when what `handler` returns resolves; one that
   * rejects holds the position until it comes again.
   */
  wrap<I extends Item, Rest extends unknown[], R>(
    handler: (item: I, ...rest: Rest) => R,
  ): (item: I, ...rest: Rest) => R
  /** Where it stands, computed now. */
  status(): SubscriptionStatus<P>
  /** Ends the monitor and withdraws what it shows. The handler works on. May be called twice. `await using` calls it. */
  stop(): void
}

/**
 * Over events of a table, `watchedPostgresEvents(...)`: tells which of them were never handed to this handler. It sees each
 * position that is handed over, so no loss escapes it: docs/watch.md says under which conditions.
 *
 * ```ts
 * const monitor = monitorHandler({
 *   projection: 'orders',
 *   source: watchedPostgresEvents({ pool, table: 'events', eventType: 'type' }),
 *   position: (event) => event.position,
 * })
 * const handle = monitor.wrap(async (event) => mail(event))
 * ```
 *
 * It looks from now on until `stop()`, which keeps the process alive. Throws `InvalidOptionError`.
 */
export function monitorHandler<Item>(options: LossMonitorOptions<Item>): LossMonitor<Item>
/**
 * Tells what goes on with a consumer that takes a callback (Emmett's `eachMessage`) and keeps its subscription to itself.
 * Where you have the subscription, take `monitorSubscription`, and its `handler` for a callback: that sees drops too. Both
 * together would count each event twice.
 *
 * ```ts
 * const monitor = monitorHandler({ projection: 'mailer', source })
 * const eachMessage = monitor.wrap(async (message) => mail(message))
 * ```
 *
 * It reports from now on until `stop()`. Its timer does not keep the process alive. Throws `InvalidOptionError`.
 */
export function monitorHandler<P, Item>(options: MonitorOptions<P, Item>): HandlerMonitor<P, Item>
export function monitorHandler<P, Item>(
  options: MonitorOptions<P, Item> | LossMonitorOptions<Item>,
): HandlerMonitor<P, Item> | LossMonitor<Item> {
  if (isOfTable(options)) return createLossMonitor(options)
  const monitor = new Monitor(resolveMonitorOptions(options))
  monitor.begin()
  const stop = (): void => monitor.stop()
  return {
    wrap: (handler) => monitoredHandler(monitor, handler),
    status: () => monitor.status(),
    stop,
    [Symbol.asyncDispose]: async () => stop(),
  }
}

function isOfTable<P, Item>(
  options: MonitorOptions<P, Item> | LossMonitorOptions<Item>,
): options is LossMonitorOptions<Item> {
  const { source } = options
  return typeof source === 'object' && source !== null && 'look' in source
}
