import { AsyncResource } from 'node:async_hooks'
import type { Context, ContextManager } from '@opentelemetry/api'

/**
 * Runs code outside every request. What runs in here, and whatever follows from it (timers, sockets, promises), sees no
 * AsyncLocalStorage of Tidemark's caller. It is made on import, because nothing leads out of a request that has begun.
 * If this module is first imported inside a request, it is that request.
 */
const outside = new AsyncResource('Tidemark')

/**
 * Runs a loop outside the request that starts it, and untraced. Nobody asked for a loop's statements, and the
 * instrumentation of a driver would make spans of every poll. `traced` leads back.
 */
export function inBackground<T>(work: () => T): T {
  return outside.runInAsyncScope(() => inContext((context) => context.setValue(SUPPRESS_TRACING, true), work))
}

/**
 * Runs code that is not Tidemark's own with tracing as usual: a handler, or giving a connection back to a pool, which
 * may then send somebody else's statement.
 */
export function traced<T>(work: () => T): T {
  return inContext((context) => context.deleteValue(SUPPRESS_TRACING), work)
}

/**
 * The context manager is taken from where the OpenTelemetry API keeps it for all its copies. It is not imported: the
 * process may be instrumented by a copy of the API that this package cannot resolve (`--require`, the Kubernetes
 * operator). Without a context manager there is no context, and no instrumentation makes a span.
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
