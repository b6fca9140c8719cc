import type { Attributes, Span, SpanOptions, Tracer } from '@opentelemetry/api'
import { ATTR_ERROR_TYPE, ERROR_TYPE_VALUE_OTHER } from '@opentelemetry/semantic-conventions'
import { hasCode } from '../kernel/errors.ts'
import type { LostEvent } from '../watch/status.ts'
import { ATTRIBUTES } from './attributes.ts'
import { traced } from './background.ts'
import type { Exemplar } from './metrics.ts'
import { linksTo } from './span-links.ts'
import type { ClosedGap } from './telemetry.ts'
import type { ReadTraceContext, TraceContext } from './trace-context.ts'
import { NO_TRACING, type TracedBatch, type TracedLate, type TracedSkip, type Tracing } from './tracing.ts'

type Api = typeof import('@opentelemetry/api')

export async function openTracing<E>(readContext: ReadTraceContext<E>): Promise<Tracing<E>> {
  const api = await installedApi()
  return api === undefined ? NO_TRACING : new ApiTracing(api, readContext)
}

async function installedApi(): Promise<Api | undefined> {
  // In a `try`: only there webpack takes an import for optional. After `.catch()` it refuses to build without the package.
  try {
    return await import('@opentelemetry/api')
  } catch {
    return undefined
  }
}

class ApiTracing<E> implements Tracing<E> {
  readonly #api: Api
  readonly #tracer: Tracer
  readonly #linksTo: (events: readonly E[]) => ReturnType<typeof linksTo>

  constructor(api: Api, readContext: ReadTraceContext<E>) {
    this.#api = api
    this.#tracer = api.trace.getTracer('@tidemark/core')
    this.#linksTo = (events) => linksTo(events, { api, readContext })
  }

  async batch<T>(batch: TracedBatch<E>, work: () => Promise<T>): Promise<T> {
    const span = this.#startBatch(batch)
    try {
      return await this.#api.context.with(this.#api.trace.setSpan(this.#api.context.active(), span), work)
    } catch (error) {
      // Another owner works, as at every deploy: nothing is wrong.
      if (hasCode(error, 'TIDEMARK_CHECKPOINT_CONFLICT')) {
        span.setAttribute(ATTRIBUTES.checkpointConflict, true)
      } else this.#fail(span, error)
      throw error
    } finally {
      span.end()
    }
  }

  #fail(span: Span, error: unknown): void {
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: String(error) })
    span.setAttribute(ATTR_ERROR_TYPE, errorType(error))
    if (error instanceof Error) span.recordException(error)
  }

  #startBatch({ projection, events, firstPosition, lastPosition }: TracedBatch<E>): Span {
    const span = this.#startSpan(`process ${projection}`, {
      root: true,
      kind: this.#api.SpanKind.CONSUMER,
      attributes: {
        [ATTRIBUTES.projection]: projection,
        [ATTRIBUTES.operationType]: 'process',
        [ATTRIBUTES.batchMessageCount]: events.length,
        [ATTRIBUTES.firstPosition]: firstPosition,
        [ATTRIBUTES.lastPosition]: lastPosition,
      },
    })
    // Reading an event's trace costs some 3 µs, so nothing is read if nobody records.
    if (!span.isRecording()) return span
    const { links, unlinked } = this.#linksTo(events)
    span.addLinks(links)
    if (unlinked > 0) span.setAttribute(ATTRIBUTES.unlinkedEvents, unlinked)
    return span
  }

  skipped({ projection, run, isCounted, isOneRun, nextEvent }: TracedSkip<E>): void {
    const { stored, current, count, reason } = run
    const attributes: Attributes = {
      [ATTRIBUTES.projection]: projection,
      [ATTRIBUTES.skipReason]: reason,
      [ATTR_ERROR_TYPE]: reason,
      [ATTRIBUTES.markStale]: reason === 'stale_high_water_mark',
      [ATTRIBUTES.markStored]: stored,
      [ATTRIBUTES.markActual]: current,
      ...(isCounted ? { [ATTRIBUTES.skippedCount]: Number(count) } : {}),
      ...(isOneRun ? { [ATTRIBUTES.markDifference]: Number(count + 1n) } : {}),
    }
    const span = this.#startSpan('marten.projection.skipped_events', {
      attributes,
      links: this.#linksTo(nextEvent === undefined ? [] : [nextEvent]).links,
    })
    span.setStatus({
      code: this.#api.SpanStatusCode.ERROR,
      message:
        isCounted && !isOneRun
          ? `${count} events up to ${current} were passed unhandled`
          : `${isCounted ? `${count} ` : ''}positions between ${stored} and ${current} were skipped`,
    })
    span.end()
  }

  late({ projection, source, events, firstPosition, lastPosition }: TracedLate): void {
    const span = this.#startSpan('tidemark.late_events', {
      root: true,
      attributes: {
        [ATTRIBUTES.projection]: projection,
        [ATTRIBUTES.source]: source,
        [ATTRIBUTES.lateEvents]: events,
        [ATTRIBUTES.lateFirstPosition]: firstPosition,
        [ATTRIBUTES.lateLastPosition]: lastPosition,
      },
    })
    span.setStatus({
      code: this.#api.SpanStatusCode.ERROR,
      message: `${events} events became visible behind the checkpoint, the first at ${firstPosition}`,
    })
    span.end()
  }

  /** From the last look that did not show the event to the first one that did. */
  consumerLost(event: LostEvent): void {
    const { consumer, verdict, position, type, passedAt, missingAt, visibleAt } = event
    const span = this.#startSpan('tidemark.consumer_lost_event', {
      root: true,
      startTime: missingAt ?? visibleAt,
      links: linksTo([event], { api: this.#api, readContext: traceOf }).links,
      attributes: {
        [ATTRIBUTES.consumer]: consumer,
        [ATTRIBUTES.lostVerdict]: verdict,
        [ATTRIBUTES.eventPosition]: String(position),
        [ATTRIBUTES.passedAt]: passedAt,
        ...(type === undefined ? {} : { [ATTRIBUTES.eventType]: type }),
      },
    })
    span.setStatus({
      code: this.#api.SpanStatusCode.ERROR,
      message: `the consumer has gone on to ${passedAt} without the event at ${position}`,
    })
    span.end(visibleAt)
  }

  /** One span a mark movement, about the gap that was open longest. */
  gapsClosed(
    source: string,
    gaps: readonly ClosedGap[],
    nowMs: number,
    format: (position: unknown) => string,
  ): void {
    const [first, ...others] = gaps
    if (first === undefined) return
    const oldest = others.reduce((a, b) => (b.openForMs > a.openForMs ? b : a), first)
    const pids = oldest.holders.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
    const applications = oldest.holders.flatMap(({ applicationName }) => applicationName ?? [])
    const span = this.#startSpan('tidemark.gap_closed', {
      root: true,
      startTime: nowMs - oldest.openForMs,
      attributes: {
        [ATTRIBUTES.source]: source,
        [ATTRIBUTES.gapFrom]: format(oldest.gap.from),
        [ATTRIBUTES.gapTo]: format(oldest.gap.to),
        [ATTRIBUTES.gapOutcome]: oldest.outcome,
        [ATTRIBUTES.gapAgeSeconds]: oldest.openForMs / 1_000,
        [ATTRIBUTES.gapsClosed]: gaps.length,
        [ATTRIBUTES.holderPids]: pids,
        [ATTRIBUTES.holderApplications]: [...new Set(applications)],
      },
    })
    span.end(nowMs)
  }

  #startSpan(name: string, options: SpanOptions): Span {
    return traced(() => this.#tracer.startSpan(name, options))
  }

  currentSpan(): Exemplar | undefined {
    const context = this.#api.trace.getActiveSpan()?.spanContext()
    if (!context || (context.traceFlags & this.#api.TraceFlags.SAMPLED) === 0) return undefined
    return { traceId: context.traceId, spanId: context.spanId }
  }
}

function traceOf({ traceparent }: LostEvent): TraceContext | undefined {
  return traceparent === undefined ? undefined : { traceparent }
}

/** As the SDK names `exception.type`: every error of `pg` is an `error` by name, and minifiers change names of classes. */
function errorType(error: unknown): string {
  if (!(error instanceof Error)) return ERROR_TYPE_VALUE_OTHER
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return code || error.name || ERROR_TYPE_VALUE_OTHER
}
