import { type Clock, systemClock } from '../kernel/clock.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, requireTimerMs } from '../kernel/validation.ts'
import { requireLostEvents } from '../ports/capabilities.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { ConsumerCheckpoints } from '../ports/consumer-checkpoints.ts'
import type { LostEvents } from '../ports/lost-events.ts'
import type { WatchSource } from '../ports/watch-source.ts'
import {
  type ResolvedTelemetryOptions,
  resolveTelemetryOptions,
  type TelemetryOptions,
} from '../telemetry/telemetry-options.ts'

export interface WatchOptions extends TelemetryOptions {
  /** Where the events are: `watchedPostgresEvents(...)`, or `watchedEsdbEvents(...)`. */
  readonly source: WatchSource
  /** Where the consumers keep their checkpoints: `postgresConsumers(...)` or `esdbConsumers(...)`, or several of them. */
  readonly consumers: ConsumerCheckpoints | readonly ConsumerCheckpoints[]
  /**
   * The pause between two looks while events flow. While nothing moves it grows to ten times that.
   * - Raising it: fewer statements; more losses fall between two looks, and are not seen.
   * - Lowering it: more losses are seen; more statements.
   * - Change it when: the statements are too much for the server, or consumers lose more than the watch tells.
   * @default 20
   */
  readonly lookIntervalMs?: number
  /**
   * The share of one connection's time that looks may take, and polls a fifth of that: above 0, at most 1. On a table without
   * an index led by the position each look reads the whole table, and this is what bounds that.
   * - Raising it: looks come closer where they are slow; the server spends more on them.
   * - Lowering it: the server spends less; more losses fall between two looks.
   * - Change it when: looks are slow, as on a large table without such an index.
   * @unit share
   * @default 0.5
   */
  readonly timeShare?: number
  /**
   * A checkpoint store in which lost events are kept: `postgresCheckpoints(...)`. Each is written before it is told, and told
   * once, whether the watch is started again or several run at once. It is the only thing that a watch writes; tables of
   * Tidemark are made in that store.
   * - Change it when: losses are to be known after a restart, or two processes watch the same consumers.
   * @default none: nothing is written, and losses are forgotten with the process
   */
  readonly ledger?: Pick<CheckpointStore<never>, 'name' | 'prepare' | 'lostEvents' | 'isTransient'>
  /**
   * What tells the time, and waits.
   * - Change it when: a test of yours is to own the time.
   * @default the system's
   */
  readonly clock?: Clock
}

/** The part of a checkpoint store that keeps lost events, with what is needed to use it. */
export interface LossLedger {
  readonly name: string
  readonly lostEvents: LostEvents
  prepare(signal: AbortSignal): Promise<void>
  isTransient(error: unknown): boolean
}

export interface ResolvedWatchOptions extends ResolvedTelemetryOptions {
  readonly source: WatchSource
  readonly consumers: readonly ConsumerCheckpoints[]
  readonly lookIntervalMs: number
  readonly timeShare: number
  readonly ledger: LossLedger | undefined
  readonly clock: Clock
}

/** lookIntervalMs: about the time for which a fast consumer and a fast writer leave an event exposed. */
export const WATCH_DEFAULTS: { readonly lookIntervalMs: number; readonly timeShare: number } = Object.freeze({
  lookIntervalMs: 20,
  timeShare: 0.5,
})

const CONSUMERS = 'postgresConsumers(...) or esdbConsumers(...)'

const WATCH_OPTIONS: Readonly<Record<keyof WatchOptions, true>> = {
  source: true,
  consumers: true,
  lookIntervalMs: true,
  timeShare: true,
  ledger: true,
  metrics: true,
  logger: true,
  telemetry: true,
  onTelemetryError: true,
  clock: true,
}

export function resolveWatchOptions(options: WatchOptions): ResolvedWatchOptions {
  requireKnownOptions(options, WATCH_OPTIONS)
  const { source, clock = systemClock } = options
  const { lookIntervalMs = WATCH_DEFAULTS.lookIntervalMs, timeShare = WATCH_DEFAULTS.timeShare } = options
  if (typeof source?.look !== 'function') {
    throw new InvalidOptionError(
      'source',
      'a source that can be watched, as watchedPostgresEvents(...) or watchedEsdbEvents(...)',
      source,
    )
  }
  const consumers = [options.consumers ?? []].flat()
  if (consumers.length === 0) {
    throw new InvalidOptionError('consumers', `${CONSUMERS}, or several of them`, options.consumers)
  }
  consumers.forEach((each, index) => {
    requireConsumers(each, consumers.length === 1 ? 'consumers' : `consumers[${index}]`, options)
  })
  const names = consumers.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new InvalidOptionError('consumers', 'a name of its own for each place of checkpoints', twice)
  }
  requireTimerMs('lookIntervalMs', lookIntervalMs, 1)
  requireAbove0('timeShare', timeShare)
  if (timeShare > 1) throw new InvalidOptionError('timeShare', 'at most 1', timeShare)
  return Object.freeze({
    source,
    consumers,
    lookIntervalMs,
    timeShare,
    ledger: ledgerOf(options.ledger),
    clock,
    ...resolveTelemetryOptions(options),
  })
}

/** Throws `InvalidOptionError` and `UnsupportedByStoreError`. */
export function ledgerOf(store: WatchOptions['ledger']): LossLedger | undefined {
  if (store === undefined) return undefined
  if (typeof store !== 'object' || typeof store.isTransient !== 'function') {
    throw new InvalidOptionError('ledger', 'a checkpoint store, as postgresCheckpoints(...)', store)
  }
  const lostEvents = requireLostEvents('ledger', store)
  return {
    name: store.name,
    lostEvents,
    prepare: async (signal) => await store.prepare?.(signal),
    isTransient: (error) => store.isTransient(error),
  }
}

function requireConsumers(
  consumers: ConsumerCheckpoints,
  option: string,
  { source }: Pick<WatchOptions, 'source'>,
): void {
  if (typeof consumers?.read !== 'function') {
    throw new InvalidOptionError(option, CONSUMERS, consumers)
  }
  const named = Object.entries(consumers.eventTypes).find(([, types]) => types !== 'all')
  if (named !== undefined && !source.filtersByType) {
    throw new InvalidOptionError(
      `${option}.eventTypes`,
      'a source that knows types beside it: name the column of the type in its option eventType',
      named[0],
    )
  }
}
