import { AsyncResource } from 'node:async_hooks'
import type { Context, ContextManager } from '@opentelemetry/api'

/**
 * Where no request is: what runs in here, and whatever follows from it (timers, sockets, promises), sees no
 * AsyncLocalStorage of whoever calls Tidemark. It is made on import, since nothing leads out of a request that has begun:
 * where this module is first imported inside a request, it is that request.
 */
const outside = new AsyncResource('Tidemark')

/**
 * Runs a loop where it belongs: outside of the request that starts it, and untraced, since a loop's statements are not
 * work that anybody asked for, and instrumentation of a driver would make spans of every poll. `traced` leads back.
 */
export function inBackground<T>(work: () => T): T {
  return outside.runInAsyncScope(() => inContext((context) => context.setValue(SUPPRESS_TRACING, true), work))
}

/**
 * Runs what is not Tidemark's own (a handler; a connection given back to a pool, which may go on with somebody else's
 * statement) so that it is traced as anywhere else.
 */
export function traced<T>(work: () => T): T {
  return inContext((context) => context.deleteValue(SUPPRESS_TRACING), work)
}

/**
 * The OpenTelemetry API's context manager is found where the API keeps it for all its copies, not imported: the process
 * may be instrumented by a copy of the API that this package cannot resolve (`--require`, the Kubernetes operator).
 * Without one there is no context, and no span of any instrumentation.
 */
function inContext<T>(change: (context: Context) => Context, work: () => T): T {
  const manager = (globalThis as OpenTelemetryGlobal)[API]?.context
  return manager === undefined ? work() : manager.with(change(manager.active()), work)
}

interface OpenTelemetryGlobal {
  readonly [API]?: { readonly context?: ContextManager }
}

/** `GLOBAL_OPENTELEMETRY_API_KEY` of `@opentelemetry/api` 1.x, src/internal/global-utils.ts. */
const API: unique symbol = Symbol.for('opentelemetry.js.api.1') as typeof API
/** The key behind `suppressTracing` of `@opentelemetry/core`, src/trace/suppress-tracing.ts: every SDK's tracer heeds it. */
const SUPPRESS_TRACING = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING')
