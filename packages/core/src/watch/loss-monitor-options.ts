import { type Clock, systemClock } from '../kernel/clock.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireName, requireTimerMs } from '../kernel/validation.ts'
import type { WatchSource } from '../ports/watch-source.ts'
import {
  type ResolvedTelemetryOptions,
  resolveTelemetryOptions,
  type TelemetryOptions,
} from '../telemetry/telemetry-options.ts'
import { type LossLedger, ledgerOf, type WatchOptions } from './options.ts'

/** A position as drivers return it: node-postgres makes a text of a `bigint` column. */
export type HandedPosition = bigint | number | string

/** Of `monitorHandler` over a source that can be watched, as `watchedPostgresEvents(...)`. */
export interface LossMonitorOptions<Item> extends TelemetryOptions {
  /** Names the consumer, in metrics, spans and messages: at most 255 characters. */
  readonly projection: string
  /**
   * Where the events are that the handler is given: `watchedPostgresEvents(...)`. For EventStoreDB and KurrentDB it is
   * `esdbEvents(...)`, beside the options of `monitorSubscription`.
   */
  readonly source: WatchSource
  /**
   * The position of what the handler is given, in the order of all events of the table; of a batch, the positions of all its
   * events. Of Emmett's `eachMessage`: `(message) => message.metadata.globalPosition`. It is called once for each call of the
   * handler. What it throws does not reach the handler: it is logged, and everything begins anew.
   */
  readonly position: (item: Item) => HandedPosition | readonly HandedPosition[]
  /**
   * The types of the events that the handler is given; `'all'`: every type. Events of other types are no loss. Needs a
   * source that knows types. Without this option the verdict is `passed`, not `lost`: the event was never handed over, and whether
   * the handler would be given its type is not known.
   * - Change it when: you know it. Name the types that your consumer selects.
   * @default not known
   */
  readonly eventTypes?: readonly string[] | 'all'
  /**
   * Where the consumer begins, exclusive: its checkpoint as it was stored. What stands above it and is never handed over is
   * lost. Without it nothing is said of what stands below the first event that is handed over, nor of what is visible by then and
   * was not handed over within the first look.
   * - Change it when: you know it, and the consumer reads in the order of positions: 0n for one that begins at the start. Then
   *   what it leaves out first is told too.
   * @default below the first event
   */
  readonly from?: bigint
  /**
   * The pause between two looks at the table. There is none while looks are behind what was handed over.
   * - Raising it: fewer statements; losses are told later; positions are kept for longer. None is missed.
   * - Lowering it: losses are told sooner; more statements.
   * - Change it when: very many handlers of a process are monitored, or each look reads a large table without an index.
   * @default 500
   */
  readonly lookIntervalMs?: number
  /**
   * Where lost events are kept, as `ledger` of `createWatch`: each is told once, also after a restart. What the handler has
   * passed while nobody could see it is kept there too, so that the next process tells of it.
   * - Change it when: lost events are to be known after the process has ended. It writes to these tables.
   * @default none
   */
  readonly ledger?: WatchOptions['ledger']
  /**
   * What tells the time, and waits.
   * - Change it when: a test of yours is to own the time.
   * @default the system's
   */
  readonly clock?: Clock
}

export interface ResolvedLossMonitorOptions<Item> extends ResolvedTelemetryOptions {
  readonly projection: string
  readonly source: WatchSource
  readonly position: LossMonitorOptions<Item>['position']
  readonly eventTypes: readonly string[] | 'all' | undefined
  readonly from: bigint | undefined
  readonly lookIntervalMs: number
  readonly ledger: LossLedger | undefined
  readonly clock: Clock
}

/** lookIntervalMs: nobody acts on a loss within half a second. */
export const LOSS_MONITOR_DEFAULTS: { readonly lookIntervalMs: number } = Object.freeze({
  lookIntervalMs: 500,
})

const LOSS_MONITOR_OPTIONS: Readonly<Record<keyof LossMonitorOptions<unknown>, true>> = {
  projection: true,
  source: true,
  position: true,
  eventTypes: true,
  from: true,
  lookIntervalMs: true,
  ledger: true,
  metrics: true,
  logger: true,
  telemetry: true,
  onTelemetryError: true,
  clock: true,
}

export function resolveLossMonitorOptions<Item>(
  options: LossMonitorOptions<Item>,
): ResolvedLossMonitorOptions<Item> {
  requireKnownOptions(options, LOSS_MONITOR_OPTIONS)
  const { projection, source, position, eventTypes, from, clock = systemClock } = options
  const { lookIntervalMs = LOSS_MONITOR_DEFAULTS.lookIntervalMs } = options
  requireName('projection', projection)
  if (typeof position !== 'function') {
    throw new InvalidOptionError(
      'position',
      'a function from what the handler is given to its position',
      position,
    )
  }
  if (eventTypes !== undefined && eventTypes !== 'all') {
    if (!Array.isArray(eventTypes) || !eventTypes.every((type) => typeof type === 'string')) {
      throw new InvalidOptionError('eventTypes', "a list of types, or 'all'", eventTypes)
    }
    if (!source.filtersByType) {
      throw new InvalidOptionError(
        'eventTypes',
        'a source that knows types beside it: name the column of the type in its option eventType',
        eventTypes,
      )
    }
  }
  if (from !== undefined && typeof from !== 'bigint') {
    throw new InvalidOptionError('from', 'the stored checkpoint as a bigint', from)
  }
  requireTimerMs('lookIntervalMs', lookIntervalMs, 1)
  return Object.freeze({
    projection,
    source,
    position,
    eventTypes,
    from,
    lookIntervalMs,
    ledger: ledgerOf(options.ledger),
    clock,
    ...resolveTelemetryOptions(options),
  })
}
