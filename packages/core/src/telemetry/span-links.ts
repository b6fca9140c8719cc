import type { Link, SpanContext } from '@opentelemetry/api'
import { parseTraceparent, type ReadTraceContext } from './trace-context.ts'

/** The most links of a span. Further events are only counted. */
const MOST_LINKS = 32

interface LinkParts<E> {
  readonly api: Pick<typeof import('@opentelemetry/api'), 'createTraceState'>
  readonly readContext: ReadTraceContext<E>
}

/**
 * Links to the distinct, valid traces that appended these events. If the user's function throws, the event is not linked.
 * Stops reading once there are enough links: telling a batch's traces apart costs more than all other telemetry of it.
 */
export function linksTo<E>(
  events: readonly E[],
  parts: LinkParts<E>,
): { readonly links: Link[]; readonly unlinked: number } {
  const links = new Map<string, Link>()
  for (const [index, event] of events.entries()) {
    const context = contextOf(event, parts)
    if (context === undefined) continue
    const key = context.traceId + context.spanId
    if (links.has(key)) continue
    if (links.size === MOST_LINKS) return { links: [...links.values()], unlinked: events.length - index }
    links.set(key, { context })
  }
  return { links: [...links.values()], unlinked: 0 }
}

function contextOf<E>(event: E, { api, readContext }: LinkParts<E>): SpanContext | undefined {
  try {
    const found = readContext(event)
    const context = found && parseTraceparent(found.traceparent)
    if (!found || !context) return undefined
    const traceState =
      found.tracestate === undefined ? {} : { traceState: api.createTraceState(found.tracestate) }
    return { ...context, ...traceState, isRemote: true }
  } catch {
    return undefined
  }
}
