/**
 * `pnpm bench:delay`: how long after its commit an event is handled, at one event a second and at thousands, with each way to be woken
 * up, and what that costs the server. Beside it Emmett, with its own tables, and graphile-worker, with a job for each commit.
 */
import pg from 'pg'
import { CONSUMERS, storeFor } from './delay/consumer.ts'
import { CONSUMER_ROLE, runTrial, type Trial, type TrialResult } from './delay/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:delay')
const { seconds, ...options } = readCommandLine(
  { seconds: 20, projections: 1, 'least-rate': 1, 'most-rate': 5_000 },
  { seconds: 3, 'least-rate': 1, 'most-rate': 100 },
)
const RATES = [0.1, 1, 10, 100, 200, 1_000, 5_000].filter(
  (rate) => rate >= options['least-rate'] && rate <= options['most-rate'],
)
/** Beside an open transaction, one rate tells all. */
const BESIDE_RATE = 10
/** Where events are rare, a trial lasts longer. */
const LEAST_EVENTS = 60

const TRIALS: readonly Trial[] = CONSUMERS.flatMap((consumer) => [
  ...RATES.map((rate) => ({ consumer, rate, withOpenTransaction: false })),
  ...RATES.filter((rate) => rate === BESIDE_RATE).map((rate) => ({
    consumer,
    rate,
    withOpenTransaction: true,
  })),
])

await withServer(
  async (server) => {
    const admin = new pg.Client({ connectionString: server.url })
    await admin.connect()
    await admin.query(`create role ${CONSUMER_ROLE} superuser login`)
    await admin.end()
    const results: [Trial, TrialResult][] = []
    for (const trial of TRIALS) {
      const least = seconds >= 20 ? LEAST_EVENTS / trial.rate : 0
      const result = await runTrial(server, trial, {
        seconds: Math.max(seconds, least),
        projections: options.projections,
      })
      results.push([trial, result])
      console.log(`  ${describe(trial)}: p50 ${ms(percentile(result.delays, 50))}`)
    }
    report(results)
  },
  { shared_preload_libraries: 'pg_stat_statements' },
)

function report(results: readonly (readonly [Trial, TrialResult])[]): void {
  console.log(
    '\nfrom the answer to a commit to the end of the handler; statements and CPU of the backends of the consumer alone',
  )
  printTable(
    ['consumer, events a second', 'events', 'p50', 'p95', 'p99', 'greatest', 'statements/s', 'CPU of a core'],
    results.map(([trial, { delays, statementsPerSecond, cpuShare }]) => [
      describe(trial),
      wholeNumber(delays.length),
      ...[50, 95, 99, 100].map((percent) => ms(percentile(delays, percent))),
      wholeNumber(statementsPerSecond),
      Number.isNaN(cpuShare) ? '-' : `${(cpuShare * 100).toFixed(1)} %`,
    ]),
  )
}

function describe({ consumer, rate, withOpenTransaction }: Trial): string {
  const name = storeFor(consumer) === 'table' ? `Tidemark, ${consumer}` : consumer
  return `${name}, ${rate}${withOpenTransaction ? ', beside an open transaction' : ''}`
}

function ms(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(1)} ms` : 'never'
}
