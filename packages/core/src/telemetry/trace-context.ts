/** Where an event says which trace appended it. */
export interface TraceContext {
  /** W3C `traceparent`: `00-<trace id>-<span id>-<flags>`. */
  readonly traceparent: string
  readonly tracestate?: string
}

/** Reads the trace that appended an event, or `undefined`. */
export type ReadTraceContext<E> = (event: E) => TraceContext | undefined

/**
 * Looks where events usually carry it: `traceparent` (and `tracestate`) in `metadata`, or `$traceId` and `$spanId` there,
 * as `@kurrent/opentelemetry` writes them. `metadata` may be an object, or its JSON.
 */
export function traceContextOf(event: unknown): TraceContext | undefined {
  const metadata = recordOf(recordOf(event)?.metadata)
  if (metadata === undefined) return undefined
  const { traceparent, tracestate, $traceId, $spanId } = metadata
  if (typeof traceparent === 'string') {
    return typeof tracestate === 'string' ? { traceparent, tracestate } : { traceparent }
  }
  if (typeof $traceId === 'string' && typeof $spanId === 'string')
    return { traceparent: `00-${$traceId}-${$spanId}-01` }
  return undefined
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  if (typeof value !== 'string' || !value.startsWith('{')) return undefined
  try {
    return recordOf(JSON.parse(value))
  } catch {
    return undefined
  }
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)

/** The parts of a valid `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header), or `undefined`. */
export function parseTraceparent(
  text: string,
): { readonly traceId: string; readonly spanId: string; readonly traceFlags: number } | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) }
}
