import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'

/** The samples of a Prometheus exposition: `name{label="…"}` with its labels in alphabetical order -> value. */
export function samplesOf(exposition: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>()
  for (const line of exposition.split('\n')) {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*?)\})? (\S+)(?: # .*)?$/.exec(line) ?? []
    if (name === undefined || value === undefined) continue
    const sorted = [...labels.matchAll(/([\w]+)="((?:[^"\\]|\\.)*)"/g)].map(([label]) => label).sort()
    samples.set(sorted.length === 0 ? name : `${name}{${sorted}}`, toNumber(value))
  }
  return samples
}

function toNumber(text: string): number {
  if (text === 'Nan' || text === 'NaN') return Number.NaN
  return text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text)
}

export function namesOf(samples: ReadonlyMap<string, number>, prefix = 'martend_async_daemon_'): string[] {
  const names = [...samples.keys()].map((series) => series.replace(/\{.*/, ''))
  return [
    ...new Set(names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))),
  ]
}

/** An SDK with a Prometheus exporter that is asked in memory. */
export function prometheusSdk(options: ConstructorParameters<typeof PrometheusExporter>[0] = {}): {
  readonly meterProvider: MeterProvider
  readonly scrape: () => Promise<string>
} {
  const exporter = new PrometheusExporter({ preventServerStart: true, withoutTargetInfo: true, ...options })
  const meterProvider = new MeterProvider({ readers: [exporter] })
  return {
    meterProvider,
    scrape: () =>
      new Promise((resolve) => {
        const response = { statusCode: 0, setHeader: () => {}, end: resolve }
        exporter.getMetricsRequestHandler({} as never, response as never)
      }),
  }
}
