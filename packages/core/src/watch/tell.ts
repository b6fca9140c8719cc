import type { KeptLoss } from '../ports/lost-events.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import type { ResolvedTelemetryOptions } from '../telemetry/telemetry-options.ts'
import { describeLost, toLostEvent } from './findings.ts'

/** Tells of lost events: in metrics, as spans, and one line of the log for each consumer and verdict. */
export function tellLosses(
  losses: readonly KeptLoss[],
  { telemetry, tracing }: Pick<TelemetrySession<bigint, never>, 'telemetry' | 'tracing'>,
  { logger }: Pick<ResolvedTelemetryOptions, 'logger'>,
): void {
  const groups = new Map<string, KeptLoss[]>()
  for (const loss of losses) {
    const key = JSON.stringify([loss.consumer, loss.verdict])
    groups.set(key, [...(groups.get(key) ?? []), loss])
  }
  for (const [first, ...others] of groups.values()) {
    if (first === undefined) continue
    const events = [first, ...others].map(toLostEvent)
    telemetry.consumerLostEvents({ consumer: first.consumer, verdict: first.verdict, events })
    for (const event of events) tracing.consumerLost(event)
    const more = others.length === 0 ? '' : `, and ${others.length} more`
    logger.warn(`tidemark: ${describeLost(first)}${more}`)
  }
}
