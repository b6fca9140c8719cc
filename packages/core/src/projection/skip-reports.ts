import type { Advanced } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'

export interface SkipReporting<P, E> {
  readonly source: EventSource<P, E>
  readonly session: TelemetrySession<P, E>
  readonly logger: Logger
}

/** Tells of the runs that one advance has crossed: a count, a span each, and a warning where events may be lost. */
export function reportSkips<P, E>(
  { source, session, logger }: SkipReporting<P, E>,
  { name, series }: { readonly name: string; readonly series: string },
  { crossed, skipped }: Advanced,
  page: ReadPage<P, E> | undefined,
): void {
  if (crossed.length === 0) return
  session.telemetry.skipped({ projection: series, crossed, totals: skipped })
  const isDense = source.order.distance !== undefined
  const eventAt = new Map(
    page?.positions.map((position, i) => [source.order.format(position), page.events[i]]),
  )
  for (const run of crossed) {
    session.tracing.skipped({
      projection: series,
      run,
      // Of what the projection gives up itself it is the events that are counted.
      isCounted: isDense || run.reason === 'apply_error',
      isOneRun: isDense && run.reason !== 'apply_error',
      nextEvent: eventAt.get(run.current),
    })
  }
  const lost = crossed.filter(({ reason }) => reason === 'stale_high_water_mark')
  const [first] = lost
  if (first === undefined) return
  const count = lost.reduce((sum, run) => sum + run.count, 0n)
  const { lateEventWindowMs } = source
  const later =
    lateEventWindowMs === undefined
      ? 'events committed there later are lost to it'
      : `events committed there during the next ${lateEventWindowMs / 1_000} s are kept for it as late events; what comes after ` +
        'that is lost to it'
  logger.warn(
    `tidemark: projection "${name}" skipped ${count === 1n ? '1 position' : `${count} positions`} without proof, ` +
      `the first after ${first.stored}; ${later}`,
  )
}
