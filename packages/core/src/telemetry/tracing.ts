import type { Attributes, Link, Span, SpanContext, SpanOptions, Tracer } from '@opentelemetry/api'
import { ATTR_ERROR_TYPE, ERROR_TYPE_VALUE_OTHER } from '@opentelemetry/semantic-conventions'
import { hasCode } from '../kernel/errors.ts'
import type { CrossedRun } from '../ports/checkpoint-store.ts'
import { ATTRIBUTES } from './attributes.ts'
import { traced } from './background.ts'
import type { Exemplar } from './metrics.ts'
import type { ClosedGap } from './telemetry.ts'
import { parseTraceparent, type ReadTraceContext } from './trace-context.ts'

type Api = typeof import('@opentelemetry/api')

/** Spans, through `@opentelemetry/api` alone: without an SDK, or without that package, nothing happens. */
export interface Tracing<E> {
  /** Runs `work` inside a span that is linked to the traces that appended `batch.events`. */
  batch<T>(batch: TracedBatch<E>, work: () => Promise<T>): Promise<T>
  skipped(skip: TracedSkip<E>): void
  gapsClosed(
    source: string,
    gaps: readonly ClosedGap[],
    nowMs: number,
    format: (position: unknown) => string,
  ): void
  /** The span at hand, for exemplars. */
  currentSpan(): Exemplar | undefined
}

export interface TracedBatch<E> {
  readonly projection: string
  readonly events: readonly E[]
  readonly firstPosition: string
  readonly lastPosition: string
}

interface TracedSkip<E> {
  readonly projection: string
  readonly run: CrossedRun
  /** Whether `count` is a number of positions or events. On sparse positions it is not. */
  readonly isCounted: boolean
  /** Whether it is one run of dense positions, so that the difference of its ends is a number. */
  readonly isOneRun: boolean
  /** The event after the run, where it is at hand: it carries the trace that appended it. */
  readonly nextEvent: E | undefined
}

/** The most links of a span. Further events are only counted. */
const MOST_LINKS = 32

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

export const NO_TRACING: Tracing<unknown> = {
  batch: (_, work) => work(),
  skipped: () => {},
  gapsClosed: () => {},
  currentSpan: () => undefined,
}

class ApiTracing<E> implements Tracing<E> {
  readonly #api: Api
  readonly #tracer: Tracer
  readonly #readContext: ReadTraceContext<E>

  constructor(api: Api, readContext: ReadTraceContext<E>) {
    this.#api = api
    this.#tracer = api.trace.getTracer('@tidemark/core')
    this.#readContext = readContext
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

  /**
   * The distinct, valid trace contexts of these events. If the user's function throws, the event is not linked. Stops
   * reading once there are enough links: telling a batch's traces apart costs more than all other telemetry of it.
   */
  #linksTo(events: readonly E[]): { readonly links: Link[]; readonly unlinked: number } {
    const links = new Map<string, Link>()
    for (const [index, event] of events.entries()) {
      const context = this.#contextOf(event)
      if (context === undefined) continue
      const key = context.traceId + context.spanId
      if (links.has(key)) continue
      if (links.size === MOST_LINKS) return { links: [...links.values()], unlinked: events.length - index }
      links.set(key, { context })
    }
    return { links: [...links.values()], unlinked: 0 }
  }

  #contextOf(event: E): SpanContext | undefined {
    try {
      const found = this.#readContext(event)
      const context = found && parseTraceparent(found.traceparent)
      if (!found || !context) return undefined
      const traceState =
        found.tracestate === undefined ? {} : { traceState: this.#api.createTraceState(found.tracestate) }
      return { ...context, ...traceState, isRemote: true }
    } catch {
      return undefined
    }
  }
}

/** As the SDK names `exception.type`: every error of `pg` is an `error` by name, and minifiers change names of classes. */
function errorType(error: unknown): string {
  if (!(error instanceof Error)) return ERROR_TYPE_VALUE_OTHER
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return code || error.name || ERROR_TYPE_VALUE_OTHER
}
