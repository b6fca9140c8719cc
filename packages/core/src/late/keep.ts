import type { LateEvent, LateEvents, LateUnit, OpenedLate, PassedAs } from '../ports/late-events.ts'
import { unitName, versionName } from '../ports/unit.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'

export interface KeepParts {
  readonly source: { readonly name: string }
  readonly lateEvents: LateEvents<never>
  /** What this process runs. */
  readonly units: () => readonly LateUnit[]
  readonly session: Pick<TelemetrySession<unknown, never>, 'telemetry' | 'tracing'>
  readonly logger: Logger
}

/** Records late events that were found. Of several processes that have found one, one records it. */
export async function record(
  { source, lateEvents, logger }: KeepParts,
  as: PassedAs,
  found: readonly LateEvent[],
  signal: AbortSignal,
): Promise<void> {
  if (found.length === 0) return
  const recorded = await lateEvents.record(source.name, as, found, signal)
  const [first] = recorded
  if (first === undefined) return
  const after = first.afterMs === undefined ? '' : ` ${(first.afterMs / 1_000).toFixed(1)} s afterwards`
  const others = recorded.length === 1 ? '' : `, and ${recorded.length - 1} more`
  logger.warn(
    `tidemark: ${source.name}: an event became visible where the mark had passed${after}: at ${named(first)}${others}`,
  )
}

/** For each unit of this process, what it has missed is opened, and told once by whoever opens it. */
export async function open(
  parts: KeepParts,
  found: { readonly withinMs: number | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { source, lateEvents, session, logger } = parts
  const units = parts.units()
  if (units.length === 0) return
  const opened = await lateEvents.open(source.name, units, found, signal)
  const byProjection = new Map<string, OpenedLate[]>()
  for (const late of opened) {
    const projection = unitName(late.unit)
    byProjection.set(projection, [...(byProjection.get(projection) ?? []), late])
  }
  for (const [projection, missed] of byProjection) {
    const [first, last] = [missed[0], missed.at(-1)]
    if (first === undefined || last === undefined) continue
    const series = versionName(first.unit)
    session.telemetry.lateEvents({ projection: series, events: missed })
    session.tracing.late({
      projection: series,
      source: source.name,
      events: missed.length,
      firstPosition: first.position,
      lastPosition: last.position,
    })
    const count = missed.length === 1 ? 'a late event' : `${missed.length} late events, the first`
    logger.warn(`tidemark: projection "${projection}" has missed ${count} at ${named(first)}`)
  }
}

function named({ position, type }: LateEvent): string {
  return type === undefined ? position : `${position} (${type})`
}
