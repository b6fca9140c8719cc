import type { Contender } from '../replay/contender.ts'
import { type TidemarkContender, tidemark } from '../replay/tidemark.ts'
import type { Backend } from './backends.ts'
import type { Sample } from './costs.ts'
import { withTracing } from './tracing.ts'

export interface ObservedContender {
  readonly name: string
  /** @default no metrics */
  readonly backend?: Backend
  /** With OpenTelemetry's SDK for spans. @default false */
  readonly isTraced?: boolean
  /** Whether Tidemark looks for the trace in each event, as it does unless told otherwise. @default true */
  readonly readsTraceContext?: boolean
  readonly scrapeMs: number
}

/** A replay that is scraped while it runs, and what each run of it took. */
export function observed(
  replay: Omit<TidemarkContender, 'name' | 'telemetry'>,
  { name, backend, isTraced = false, readsTraceContext = true, scrapeMs }: ObservedContender,
): { readonly contender: Contender; readonly samples: readonly Sample[] } {
  const samples: Sample[] = []
  let batches = 0
  const contender = tidemark({
    ...replay,
    name,
    telemetry: {
      telemetry: { batchProcessed: () => batches++ },
      ...(backend ? { metrics: backend.metrics } : {}),
      ...(readsTraceContext ? {} : { traceContext: () => undefined }),
    },
  })
  const run: Contender['run'] = async () => {
    batches = 0
    const before = process.cpuUsage()
    const done = await whileScraped(backend, scrapeMs, contender.run)
    const { user, system } = process.cpuUsage(before)
    samples.push({ seconds: done.seconds, cpuSeconds: (user + system) / 1e6, batches })
    return done
  }
  return { samples, contender: { ...contender, run: isTraced ? () => withTracing(run) : run } }
}

async function whileScraped<T>(
  backend: Backend | undefined,
  scrapeMs: number,
  use: () => Promise<T>,
): Promise<T> {
  if (backend === undefined) return use()
  const scrapes: Promise<string>[] = []
  const timer = setInterval(() => scrapes.push(backend.scrape()), scrapeMs)
  const used = await use().finally(() => clearInterval(timer))
  const last = (await Promise.all([...scrapes, backend.scrape()])).at(-1)
  if (!/processed_events(_total)?\{.*\} [1-9]/.test(last ?? ''))
    throw new Error('the metrics were not written')
  return used
}
