import { type Clock, systemClock } from '../kernel/clock.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, withoutUndefined } from '../kernel/validation.ts'
import { requireCapabilities } from '../ports/capabilities.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { PolledSource } from '../ports/event-source.ts'
import {
  type ResolvedTelemetryOptions,
  resolveTelemetryOptions,
  type TelemetryOptions,
} from '../telemetry/telemetry-options.ts'

/** What the agent needs of a checkpoint store. */
export type ProgressMemory = Pick<
  CheckpointStore<never>,
  'name' | 'progress' | 'settled' | 'skips' | 'lateEvents' | 'sharesLogWith' | 'toDecide' | 'isTransient'
>

export interface HighWaterAgentOptions<P> extends TelemetryOptions {
  /** Where the events are: `postgresEvents(...)`, `esdbEvents(...)`, or the source of another adapter. */
  readonly source: PolledSource<P>
  /**
   * Where settled positions are remembered. Without it, each start has to prove everything anew, and a mark waits until its
   * events are durable.
   * - Change it when: a restart behind a transaction that is open for long should go on from what was settled.
   * @default none
   */
  readonly checkpoints?: ProgressMemory
  /**
   * The longest wait between two polls. An event that comes after a quiet time may wait this long.
   * - Raising it: fewer queries while nothing happens; the first event after a quiet time waits longer.
   * - Lowering it: a shorter wait; more queries while nothing happens, from every process that polls.
   * - Change it when: one second is too long for an event after a quiet time, and the source has no wake-ups.
   * @default 1000
   */
  readonly pollIntervalMs?: number
  /**
   * How far apart polls begin while events keep coming: behind a busy store, an event waits about this long for its poll at
   * most. After a quiet spell an event is polled for at once, and a few times soon after, since its transaction may commit a
   * little later. Wake-ups keep to it; whoever waits (`waitFor`, `freshReading`, `waitUntilProjected`) does not have to. At
   * least 0, which leaves it to `pollTimeShare`, and at most `pollIntervalMs`, which is the default where it is shorter. Of this
   * and the rest that `pollTimeShare` asks for, the longer holds.
   * - Raising it: fewer polls and batches, so less load of the server; events under load are handled later.
   * - Lowering it: events under load are handled sooner; more polls, and more and smaller batches, which cost more than polls.
   * - Change it when: events under load have to be handled sooner, or the daemon's statements are too much of the server's load.
   * @default 25
   */
  readonly pollDelayMs?: number
  /**
   * The share of one connection's time that polls may take: above 0, at most 1. It is for polls that are slow, as those of 60 ms:
   * by default they rest for 240 ms. Those of 5 ms or less keep within it by being `pollDelayMs` apart. The rest
   * is never longer than `pollIntervalMs`. A wake-up ends the part of it by which the last poll was slower than usual; a wait for a
   * connection counts for nothing.
   * - Raising it: where polls are slow, the mark follows sooner; the server spends more CPU on polls.
   * - Lowering it: the server spends less; the mark follows later while events flow.
   * - Change it when: polls of yours are slow, and take too much of the server, or too little for the delay that you want.
   * @unit share
   * @default 0.2
   */
  readonly pollTimeShare?: number
  /**
   * How long settled may stand below the head, or polls may fail, before the mark is called stale: in the status, a metric and
   * the log. It changes nothing else.
   * - Raising it: fewer alarms of transactions that are merely slow; a transaction that was forgotten is told of later.
   * - Lowering it: a forgotten one is told of sooner; more alarms of transactions that are merely slow.
   * - Change it when: writers of yours keep transactions open for longer as a rule.
   * @default 3000
   */
  readonly staleAfterMs?: number
  /**
   * What tells the time, and waits.
   * - Change it when: a test of yours is to own the time.
   * @default the system's
   */
  readonly clock?: Clock
}

export interface ResolvedHighWaterAgentOptions<P> extends ResolvedTelemetryOptions {
  readonly source: PolledSource<P>
  readonly checkpoints: ProgressMemory | undefined
  readonly pollIntervalMs: number
  readonly pollDelayMs: number
  readonly pollTimeShare: number
  readonly staleAfterMs: number
  readonly clock: Clock
}

/**
 * pollIntervalMs: an idle daemon then asks the server once a second. pollDelayMs: 40 polls a second while
 * events keep coming. pollTimeShare: a fifth of one connection's time.
 * staleAfterMs: the same as Marten's StaleSequenceThreshold, after which its daemon calls its mark stale.
 */
export const HIGH_WATER_AGENT_DEFAULTS: {
  readonly pollIntervalMs: number
  readonly pollDelayMs: number
  readonly pollTimeShare: number
  readonly staleAfterMs: number
} = Object.freeze({ pollIntervalMs: 1_000, pollDelayMs: 25, pollTimeShare: 0.2, staleAfterMs: 3_000 })

export const HIGH_WATER_AGENT_OPTIONS: Readonly<Record<keyof HighWaterAgentOptions<unknown>, true>> = {
  source: true,
  checkpoints: true,
  pollIntervalMs: true,
  pollDelayMs: true,
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
  const given = withoutUndefined(options)
  const resolved = {
    ...HIGH_WATER_AGENT_DEFAULTS,
    clock: systemClock,
    checkpoints: undefined,
    ...given,
  }
  if (typeof resolved.source?.readHighWater !== 'function') {
    throw new InvalidOptionError('source', 'an EventSource', resolved.source)
  }
  if (resolved.checkpoints) requireCapabilities(resolved.source, resolved.checkpoints)
  requireAbove0('pollIntervalMs', resolved.pollIntervalMs)
  const pollDelayMs = given.pollDelayMs ?? Math.min(resolved.pollDelayMs, resolved.pollIntervalMs)
  if (typeof pollDelayMs !== 'number' || !(pollDelayMs >= 0 && pollDelayMs <= resolved.pollIntervalMs)) {
    const expected = `a number from 0 to pollIntervalMs, which is ${resolved.pollIntervalMs}`
    throw new InvalidOptionError('pollDelayMs', expected, pollDelayMs)
  }
  requireAbove0('pollTimeShare', resolved.pollTimeShare)
  if (resolved.pollTimeShare > 1)
    throw new InvalidOptionError('pollTimeShare', 'at most 1', resolved.pollTimeShare)
  requireAbove0('staleAfterMs', resolved.staleAfterMs)
  return Object.freeze({ ...resolved, pollDelayMs, ...resolveTelemetryOptions(options) })
}
