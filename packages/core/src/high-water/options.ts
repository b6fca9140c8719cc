import { type Clock, systemClock } from '../kernel/clock.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, withoutUndefined } from '../kernel/validation.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import {
  type ResolvedTelemetryOptions,
  resolveTelemetryOptions,
  type TelemetryOptions,
} from '../telemetry/telemetry-options.ts'

/** What the agent needs of a checkpoint store. */
export type ProgressMemory = Pick<
  CheckpointStore<never>,
  'progress' | 'saveSettled' | 'recordSkips' | 'sharesLogWith' | 'toDecide' | 'isTransient'
>

export interface HighWaterAgentOptions<P> extends TelemetryOptions {
  readonly source: EventSource<P, unknown>
  /**
   * Where settled positions are remembered. With it, a restart behind an open transaction goes on from what was
   * settled. Without it, each start has to prove everything anew, and a mark waits until its events are durable.
   */
  readonly checkpoints?: ProgressMemory
  /**
   * The longest wait between two polls. An event that comes after a quiet time may wait this long. Lowering it costs
   * queries while nothing happens.
   * @default 1000
   */
  readonly pollIntervalMs?: number
  /**
   * The share of one connection's time that polls may take while events flow: above 0, at most 1. Raising it lowers
   * the mark's delay and costs the server CPU. The rest after a slow poll is never longer than `pollIntervalMs`, and a
   * wake-up ends it; a wait for a connection counts for nothing. @default 0.5
   */
  readonly pollTimeShare?: number
  /** How long settled may stand below the head, or polls may fail, before the mark is called stale. @default 3000 */
  readonly staleAfterMs?: number
  /** @default the system's */
  readonly clock?: Clock
}

export interface ResolvedHighWaterAgentOptions<P> extends ResolvedTelemetryOptions {
  readonly source: EventSource<P, unknown>
  readonly checkpoints: ProgressMemory | undefined
  readonly pollIntervalMs: number
  readonly pollTimeShare: number
  readonly staleAfterMs: number
  readonly clock: Clock
}

/**
 * pollIntervalMs: an idle daemon then asks the server once a second. pollTimeShare: half of one connection's time.
 * staleAfterMs: the same as Marten's StaleSequenceThreshold, after which its daemon calls its mark stale.
 */
export const HIGH_WATER_AGENT_DEFAULTS: {
  readonly pollIntervalMs: number
  readonly pollTimeShare: number
  readonly staleAfterMs: number
} = Object.freeze({ pollIntervalMs: 1_000, pollTimeShare: 0.5, staleAfterMs: 3_000 })

export const HIGH_WATER_AGENT_OPTIONS: Readonly<Record<keyof HighWaterAgentOptions<unknown>, true>> = {
  source: true,
  checkpoints: true,
  pollIntervalMs: true,
  pollTimeShare: true,
  staleAfterMs: true,
  metrics: true,
  logger: true,
  telemetry: true,
  onTelemetryError: true,
  clock: true,
}

export function resolveHighWaterAgentOptions<P>(
  options: HighWaterAgentOptions<P>,
): ResolvedHighWaterAgentOptions<P> {
  requireKnownOptions(options, HIGH_WATER_AGENT_OPTIONS)
  const resolved = {
    ...HIGH_WATER_AGENT_DEFAULTS,
    clock: systemClock,
    checkpoints: undefined,
    ...withoutUndefined(options),
  }
  if (typeof resolved.source?.readHighWater !== 'function') {
    throw new InvalidOptionError('source', 'an EventSource', resolved.source)
  }
  requireAbove0('pollIntervalMs', resolved.pollIntervalMs)
  requireAbove0('pollTimeShare', resolved.pollTimeShare)
  if (resolved.pollTimeShare > 1)
    throw new InvalidOptionError('pollTimeShare', 'at most 1', resolved.pollTimeShare)
  requireAbove0('staleAfterMs', resolved.staleAfterMs)
  return Object.freeze({ ...resolved, ...resolveTelemetryOptions(options) })
}
