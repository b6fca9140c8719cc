import { type Clock, systemClock } from '../kernel/clock.ts'
import { InvalidOptionError, messageOf } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, requireName, withoutUndefined } from '../kernel/validation.ts'
import type { PositionOrder } from '../ports/position.ts'
import type { SubscriptionSource } from '../ports/subscription-source.ts'
import {
  type ResolvedTelemetryOptions,
  resolveTelemetryOptions,
  type TelemetryOptions,
} from '../telemetry/telemetry-options.ts'
import { type ReadTraceContext, traceContextOf } from '../telemetry/trace-context.ts'

/** Of `monitorSubscription` and `monitorHandler`. */
export interface MonitorOptions<P, Item> extends TelemetryOptions {
  /**
   * Names what consumes the subscription, in metrics, spans and messages: at most 255 characters. One name is one series:
   * two subscriptions that live at the same time should not share it.
   */
  readonly projection: string
  /** What is subscribed to, as an adapter describes it. */
  readonly source: SubscriptionSource<P, Item>
  /**
   * Where a catch-up subscription begins, as it was told to the client: the stored position, exclusive, or `'start'` or
   * `'end'`. Without it, what was skipped between the checkpoint and the first event is not seen, nor a checkpoint beyond the
   * head. Of no meaning for persistent subscriptions.
   * - Change it when: the subscription begins anywhere but at the start. Give what the client was given.
   * @default 'start', as the clients'
   */
  readonly from?: P | 'start' | 'end'
  /**
   * For how long nothing may come while the head stands above, before the subscription counts as stalled. Without effect on
   * filtered and persistent subscriptions, of which no stall can be told.
   * - Raising it: the alarm comes later.
   * - Lowering it: a network or store that is merely slow is called a stall.
   * - Change it when: events of yours may be on their way for longer than this.
   * @default 30000
   */
  readonly stallAfterMs?: number
  /**
   * The time between two readings of the head, or of the group of a persistent subscription.
   * - Raising it: fewer reads; lag and stalls are known less exactly, and later.
   * - Lowering it: lag and stalls are more exact; one small read of the store more each time, for each subscription.
   * - Change it when: there are very many subscriptions in a process, or lag has to be exact within seconds.
   * @default 5000
   */
  readonly headIntervalMs?: number
  /**
   * Where an item says which trace appended it; spans of skips are linked to it.
   * - Change it when: your events keep their trace context somewhere else.
   * @default `traceparent`, or `$traceId` and `$spanId`, in the metadata of the item or of its `event`
   */
  readonly traceContext?: ReadTraceContext<Item>
  /**
   * What tells the time, and waits.
   * - Change it when: a test of yours is to own the time.
   * @default the system's
   */
  readonly clock?: Clock
}

export interface ResolvedMonitorOptions<P, Item> extends ResolvedTelemetryOptions {
  readonly projection: string
  readonly source: SubscriptionSource<P, Item>
  readonly from: P | 'start' | 'end'
  readonly stallAfterMs: number
  readonly headIntervalMs: number
  readonly traceContext: ReadTraceContext<Item>
  readonly clock: Clock
}

/** stallAfterMs: no server or network takes that long between two events. headIntervalMs: twelve small reads a minute. */
export const MONITOR_DEFAULTS: { readonly stallAfterMs: number; readonly headIntervalMs: number } =
  Object.freeze({ stallAfterMs: 30_000, headIntervalMs: 5_000 })

const MONITOR_OPTIONS: Readonly<Record<keyof MonitorOptions<unknown, unknown>, true>> = {
  projection: true,
  source: true,
  from: true,
  stallAfterMs: true,
  headIntervalMs: true,
  metrics: true,
  logger: true,
  telemetry: true,
  onTelemetryError: true,
  traceContext: true,
  clock: true,
}

export function resolveMonitorOptions<P, Item>(
  options: MonitorOptions<P, Item>,
): ResolvedMonitorOptions<P, Item> {
  requireKnownOptions(options, MONITOR_OPTIONS)
  const { projection, source, from, stallAfterMs, headIntervalMs, traceContext, clock } = {
    ...MONITOR_DEFAULTS,
    from: 'start' as const,
    traceContext: traceContextOfItem,
    clock: systemClock,
    ...withoutUndefined({ ...options }),
  }
  requireName('projection', projection)
  if (typeof source?.describe !== 'function' || typeof source.readHead !== 'function') {
    throw new InvalidOptionError('source', 'a SubscriptionSource', source)
  }
  if (from !== 'start' && from !== 'end') requirePosition(source.order, from)
  requireAbove0('stallAfterMs', stallAfterMs)
  requireAbove0('headIntervalMs', headIntervalMs)
  if (typeof traceContext !== 'function') {
    throw new InvalidOptionError('traceContext', 'a function', traceContext)
  }
  return Object.freeze({
    ...resolveTelemetryOptions(options),
    projection,
    source,
    from,
    stallAfterMs,
    headIntervalMs,
    traceContext,
    clock,
  })
}

/** A revision that went through JSON is a number or a text, and would compare as neither before nor after. */
function requirePosition<P>(order: PositionOrder<P>, from: P): void {
  const expected = "a position of this source as it came (not what JSON made of it), 'start' or 'end'"
  let roundTrip: P
  try {
    roundTrip = order.parse(order.format(from))
  } catch (error) {
    throw new InvalidOptionError('from', `${expected} (${messageOf(error)})`, from)
  }
  if (typeof roundTrip !== typeof from) throw new InvalidOptionError('from', expected, from)
}

/** Both clients yield `{ event, link }`. */
function traceContextOfItem(item: unknown): ReturnType<typeof traceContextOf> {
  const event = typeof item === 'object' && item !== null && 'event' in item ? item.event : undefined
  return traceContextOf(item) ?? traceContextOf(event)
}
