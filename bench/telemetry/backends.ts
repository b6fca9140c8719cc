import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import type { Metrics } from '@tidemark/core'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'

/** Where metrics go. A registry or provider of its own for each contender, so that none finds another's series. */
export interface Backend {
  readonly metrics: Metrics
  /** One scrape, to its text: what Prometheus asks of the process. */
  readonly scrape: () => Promise<string>
}

export function promClient(): Backend {
  const registry = new Registry()
  return { metrics: promClientMetrics({ registry }), scrape: () => registry.metrics() }
}

/** A registry that keeps exemplars: the trace of each batch is written to its histograms. */
export function promClientWithExemplars(): Backend {
  const registry = new Registry<typeof Registry.OPENMETRICS_CONTENT_TYPE>()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  return { metrics: promClientMetrics({ registry }), scrape: () => registry.metrics() }
}

export function openTelemetry(): Backend {
  const reader = new PrometheusExporter({ preventServerStart: true })
  const serializer = new PrometheusSerializer()
  return {
    metrics: openTelemetryMetrics({ meterProvider: new MeterProvider({ readers: [reader] }) }),
    scrape: async () => serializer.serialize((await reader.collect()).resourceMetrics),
  }
}
