/**
 * `pnpm bench:own-write`: how long a process that has appended an event waits until another process has handled it, and what the
 * waiting costs the server.
 */
import { READER_ROLE, runTrial, type Trial, type TrialResult } from './own-write/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:own-write')
const { seconds, 'least-waits': leastWaits } = readCommandLine(
  { seconds: 20, 'least-waits': 60 },
  { seconds: 2, 'least-waits': 1 },
)

const ELSEWHERE = { standsBy: false, ownerStops: false, atOnce: 1 } as const
const STANDS_BY = { ...ELSEWHERE, standsBy: true } as const
const TRIALS: readonly Trial[] = [
  ...[1, 20, 500].map((perSecond) => ({ ...ELSEWHERE, method: 'waitFor', perSecond }) as const),
  { ...ELSEWHERE, method: 'waitFor', perSecond: 1, atOnce: 200 },
  ...[1, 500].flatMap((perSecond) => [
    { ...STANDS_BY, method: 'no wait', perSecond } as const,
    { ...STANDS_BY, method: 'waitUntilProjected', perSecond } as const,
  ]),
  { ...STANDS_BY, method: 'waitUntilProjected', perSecond: 20, ownerStops: true },
]

await withServer(
  async (server) => {
    await createRole(server, READER_ROLE)
    const results: [Trial, TrialResult][] = []
    for (const trial of TRIALS) {
      const result = await runTrial(
        server,
        trial,
        Math.max(seconds, leastWaits / trial.perSecond / trial.atOnce),
      )
      results.push([trial, result])
      console.log(`  ${describe(trial)}: p50 ${ms(percentile(result.delays, 50))}`)
    }
    report(results)
  },
  { shared_preload_libraries: 'pg_stat_statements' },
)

function report(results: readonly (readonly [Trial, TrialResult])[]): void {
  console.log(
    '\nfrom the answer to a commit to the end of the wait; statements and CPU of the backends of the process that waits alone',
  )
  printTable(
    [
      'how, events a second',
      'waits',
      'p50',
      'p95',
      'p99',
      'greatest',
      'after the handler',
      'statements/s',
      'CPU of a core',
    ],
    results.map(([trial, { delays, afterHandler, statementsPerSecond, cpuShare }]) => [
      describe(trial),
      wholeNumber(delays.length),
      ...[50, 95, 99, 100].map((percent) => ms(percentile(delays, percent))),
      ms(percentile(afterHandler, 50)),
      wholeNumber(statementsPerSecond),
      Number.isNaN(cpuShare) ? '-' : `${(cpuShare * 100).toFixed(1)} %`,
    ]),
  )
}

function describe({ method, standsBy, perSecond, atOnce, ownerStops }: Trial): string {
  const rate = atOnce === 1 ? `${perSecond}` : `${atOnce} at once`
  return `${method}, ${rate}${standsBy ? ', stands by' : ''}${ownerStops ? ', the owner stops' : ''}`
}

function ms(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(1)} ms` : '-'
}
