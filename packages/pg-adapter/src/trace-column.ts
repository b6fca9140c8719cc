import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import type { TraceColumn } from './options.ts'
import { requireText } from './pool-options.ts'

/** Throws `InvalidOptionError`. */
export function resolveTraceColumn(option: string, trace: TraceColumn): TraceColumn {
  if (typeof trace === 'string') return requireText(option, trace)
  if (typeof trace !== 'object' || trace === null) {
    throw new InvalidOptionError(
      option,
      `a column's name, or { column, key }, or { column, traceId, spanId }`,
      trace,
    )
  }
  const known = 'key' in trace ? { column: true, key: true } : { column: true, traceId: true, spanId: true }
  requireKnownOptions(trace, known as Readonly<Record<string, true>>, option)
  for (const [name, value] of Object.entries(known).map(([key]) => [key, Object(trace)[key]])) {
    requireText(`${option}.${name}`, value)
  }
  return Object.freeze({ ...trace })
}

export function traceColumnName(trace: TraceColumn): string {
  return typeof trace === 'string' ? trace : trace.column
}

/** The W3C `traceparent` that the column's text says; `undefined` where it says none. It is not checked here. */
export function traceparentOf(trace: TraceColumn, text: string): string | undefined {
  if (typeof trace === 'string') return text
  const fields = parsed(text)
  const field = (key: string): string | undefined => {
    const value = Object.hasOwn(fields, key) ? fields[key] : undefined
    return typeof value === 'string' ? value : undefined
  }
  if ('key' in trace) return field(trace.key)
  const [traceId, spanId] = [field(trace.traceId), field(trace.spanId)]
  return traceId === undefined || spanId === undefined ? undefined : `00-${traceId}-${spanId}-01`
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
