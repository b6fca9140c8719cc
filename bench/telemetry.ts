/**
 * `pnpm bench:telemetry`: what metrics and tracing cost a replay. "No metrics" is no telemetry at all: it does not even
 * look for traces in its events, which Tidemark does by default, with or without an SDK.
 */
import { PROJECTION_DEFAULTS } from '@tidemark/core'
import { runInterleaved } from './replay/contender.ts'
import { CREATE_BALANCES } from './support/balances.ts'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { CREATE_EVENTS, fillEvents, toTransfer } from './support/event-table.ts'
import { median } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'
import { openTelemetry, promClient, promClientWithExemplars } from './telemetry/backends.ts'
import { costsAgainst, type Sample } from './telemetry/costs.ts'
import { observed } from './telemetry/observed.ts'
import { addTraceContexts } from './telemetry/traced-events.ts'

console.log('pnpm bench:telemetry')
const parameters = readCommandLine(
  // Prometheus scrapes every 15 s or more seldom; a replay here is shorter than that.
  { events: 200_000, rounds: 9, 'batch-size': PROJECTION_DEFAULTS.batchSize, 'scrape-ms': 1_000 },
  { events: 10_000, rounds: 1 },
)
const { events, rounds, 'batch-size': batchSize, 'scrape-ms': scrapeMs } = parameters

const BASELINE = 'no metrics'

await withServer(async (server) => {
  const pool = await createDatabase(server, 'telemetry')
  await pool.query(`${CREATE_EVENTS}; ${CREATE_BALANCES}`)
  await fillEvents(pool, events)
  await addTraceContexts(pool)
  console.log(
    `\n${wholeNumber(events)} events, each of another trace, through one projection, 1 + ${rounds} rounds; ` +
      `scraped every ${scrapeMs} ms. Round 1 warms up and does not count`,
  )
  const columns = ['stream', 'type', 'data', 'metadata', 'created_at']
  const replay = {
    pool,
    table: 'events',
    position: 'position',
    columns,
    toTransfer,
    batchSize,
    events,
    rounds: 1 + rounds,
  }
  const all = [
    { name: BASELINE, readsTraceContext: false },
    { name: 'prom-client', backend: promClient() },
    { name: 'OpenTelemetry', backend: openTelemetry() },
    // What the machine's noise makes of no difference at all.
    { name: `${BASELINE}, again`, readsTraceContext: false },
    { name: 'prom-client, tracing, exemplars', backend: promClientWithExemplars(), isTraced: true },
    { name: 'OpenTelemetry, tracing', backend: openTelemetry(), isTraced: true },
    { name: `${BASELINE}, events' traces read, no SDK` },
  ].map((contender) => observed(replay, { ...contender, scrapeMs }))

  await runInterleaved(all.map(({ contender }) => contender))
  await pool.end()
  printCosts(new Map(all.map(({ contender, samples }) => [contender.name, samples.slice(1)])))
})

function printCosts(samplesOf: ReadonlyMap<string, readonly Sample[]>): void {
  const baseline = samplesOf.get(BASELINE) ?? []
  console.log()
  printTable(
    [
      'median of interleaved runs',
      'events/s',
      'slowest',
      'fastest',
      `x "${BASELINE}"`,
      'ns/event',
      'µs/batch',
      'CPU ns/event',
      'CPU µs/batch',
    ],
    [...samplesOf].map(([name, samples]) => {
      const rates = samples.map(({ seconds }) => events / seconds)
      const costs = costsAgainst(baseline, samples, events)
      return [
        name,
        wholeNumber(median(rates)),
        wholeNumber(Math.min(...rates)),
        wholeNumber(Math.max(...rates)),
        `${costs.ratio.toFixed(3)} x`,
        wholeNumber(costs.nsPerEvent),
        wholeNumber(costs.usPerBatch),
        wholeNumber(costs.cpuNsPerEvent),
        wholeNumber(costs.cpuUsPerBatch),
      ]
    }),
  )
  const [batches = Number.NaN] = baseline.map((sample) => sample.batches)
  console.log(
    `ratio and costs against "${BASELINE}", median of those within a round; ${wholeNumber(events / batches)} events a ` +
      `batch; CPU of this process. Targets: at least 0.97 x with metrics, 0.95 x with tracing too; at most 200 ns/event. ` +
      `What "${BASELINE}, again" differs by is noise`,
  )
}
