import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'

/** The SDK, kept in memory, until `uninstall`. */
export function installTracing(): {
  readonly provider: BasicTracerProvider
  readonly spans: (name?: RegExp) => ReadableSpan[]
  readonly uninstall: () => void
} {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  trace.setGlobalTracerProvider(provider)
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  return {
    provider,
    spans: (name = /.*/) => exporter.getFinishedSpans().filter((span) => name.test(span.name)),
    uninstall: () => {
      trace.disable()
      context.disable()
    },
  }
}

export const traceId = (n: number): string => n.toString(16).padStart(32, '0')
export const spanId = (n: number): string => n.toString(16).padStart(16, '0')
/** The W3C header of the `n`th producer. */
export const traceparent = (n: number): string => `00-${traceId(n)}-${spanId(n)}-01`
