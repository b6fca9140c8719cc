/** The subscriber of `bench:wrap`, in a process of its own: measures one way to subscribe, and prints what came of it. */
import { monitorSubscription } from '@tidemark/core'
import { type Contender, runInterleaved } from './replay/contender.ts'
import { median } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'
import { type Backend, promClient } from './telemetry/backends.ts'
import { type Subscribed, subscribable } from './wrap/subscriptions.ts'

const [name, port, eventCount, roundCount, scrapeMs] = process.argv.slice(2)
const events = Number(eventCount)
const rounds = Number(roundCount)
/** Of each run: connecting, and the first look at the head, come once in the life of a subscription. */
const measured = Math.round(events * 0.9)
const subscribed = await subscribable(name as Subscribed, Number(port), events)

interface Sample {
  readonly seconds: number
  /** Of this process, all threads. */
  readonly cpuSeconds: number
}

function contender(title: string, backend?: Backend): Contender & { readonly samples: Sample[] } {
  const samples: Sample[] = []
  const run: Contender['run'] = async () => {
    const sample = await whileScraped(backend, consume)
    samples.push(sample)
    return { events: measured, seconds: sample.seconds }
  }
  const consume = async (): Promise<Sample> => {
    const bare = subscribed.subscribe()
    const subscription = backend
      ? monitorSubscription({
          projection: 'mailer',
          source: subscribed.source,
          metrics: backend.metrics,
          logger: SILENT,
        }).wrap(bare)
      : bare
    let left = events
    let taken = stopwatch()
    for await (const _ of subscription) {
      left--
      if (left === measured) taken = stopwatch()
      if (left === 0) break
    }
    const sample = taken()
    if (!backend) await bare.unsubscribe?.()
    return sample
  }
  return { name: title, rounds: 1 + rounds, run, samples }
}

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

async function whileScraped<T>(backend: Backend | undefined, use: () => Promise<T>): Promise<T> {
  if (!backend) return use()
  const timer = setInterval(() => void backend.scrape(), Number(scrapeMs))
  return use().finally(() => clearInterval(timer))
}

function stopwatch(): () => Sample {
  const startedMs = performance.now()
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return { seconds: (performance.now() - startedMs) / 1_000, cpuSeconds: (user + system) / 1e6 }
  }
}

const bare = contender('bare')
const contenders = [bare, contender('wrapped', promClient()), contender('bare, again')]
await runInterleaved(contenders)
await subscribed.dispose()

console.log()
printTable(
  [
    `${name}: median of interleaved runs`,
    'events/s',
    'fastest',
    'x bare',
    'ns/event',
    'CPU x bare',
    'CPU ns/event',
  ],
  contenders.map(({ name: title, samples }) => {
    const within = (cost: (sample: Sample, base: Sample) => number): number =>
      // Round 1 warms up.
      median(samples.slice(1).map((sample, round) => cost(sample, bare.samples[1 + round] ?? sample)))
    return [
      title,
      wholeNumber(within(({ seconds }) => measured / seconds)),
      wholeNumber(measured / Math.min(...samples.slice(1).map(({ seconds }) => seconds))),
      `${within((sample, base) => base.seconds / sample.seconds).toFixed(3)} x`,
      wholeNumber(within((sample, base) => ((sample.seconds - base.seconds) * 1e9) / measured)),
      `${within((sample, base) => sample.cpuSeconds / base.cpuSeconds).toFixed(3)} x`,
      wholeNumber(within((sample, base) => ((sample.cpuSeconds - base.cpuSeconds) * 1e9) / measured)),
    ]
  }),
)
