/**
 * `pnpm bench:delay`: how long after its commit an event is handled, at one event a second and at thousands, with each way to be woken
 * up, and what that costs the server. Beside it Emmett, with its own tables, and graphile-worker, with a job for each commit.
 * `--pgbouncer`: Tidemark alone, through PgBouncer in transaction mode, which has to be installed.
 */
import { startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { CONSUMERS, storeFor } from './delay/consumer.ts'
import { ms, printResults } from './delay/report.ts'
import { CONSUMER_ROLE, runTrial, type Trial, type TrialResult } from './delay/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'

console.log('pnpm bench:delay')
const { seconds, ...options } = readCommandLine(
  { seconds: 20, projections: 1, 'least-rate': 1, 'most-rate': 5_000, 'least-events': 60 },
  { seconds: 3, 'least-rate': 1, 'most-rate': 100, 'least-events': 1 },
  ['pgbouncer'],
)
const RATES = [0.1, 1, 10, 100, 200, 1_000, 5_000].filter(
  (rate) => rate >= options['least-rate'] && rate <= options['most-rate'],
)
/** Beside an open transaction, one rate tells all. */
const BESIDE_RATE = 10

/** A server hears of LISTEN through no pooler in transaction mode, and the peers need sessions. */
const WANTED = options.pgbouncer ? (['wait', 'none'] as const) : CONSUMERS

const TRIALS: readonly Trial[] = WANTED.flatMap((consumer) => [
  ...RATES.map((rate) => ({ consumer, rate, withOpenTransaction: false })),
  ...RATES.filter((rate) => rate === BESIDE_RATE).map((rate) => ({
    consumer,
    rate,
    withOpenTransaction: true,
  })),
])

await withServer(
  async (server) => {
    await createRole(server, CONSUMER_ROLE)
    const pooler = options.pgbouncer ? await startPgBouncer(server, {}, CONSUMER_ROLE) : undefined
    const results: [string, TrialResult][] = []
    for (const trial of TRIALS) {
      // Where events are rare, a trial lasts longer.
      const least = options['least-events'] / trial.rate
      const result = await runTrial(
        server,
        { ...trial, pooler },
        { seconds: Math.max(seconds, least), projections: options.projections },
      )
      results.push([describe(trial), result])
      console.log(`  ${describe(trial)}: p50 ${ms(percentile(result.delays, 50))}`)
    }
    await pooler?.stop()
    printResults('consumer, events a second', results)
  },
  { shared_preload_libraries: 'pg_stat_statements' },
)

function describe({ consumer, rate, withOpenTransaction }: Trial): string {
  const name = storeFor(consumer) === 'table' ? `Tidemark, ${consumer}` : consumer
  return `${name}, ${rate}${withOpenTransaction ? ', beside an open transaction' : ''}`
}
