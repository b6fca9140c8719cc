/**
 * `pnpm bench:mark`: how far the mark stays behind a perfect oracle (what the writers themselves know), beside a fixed
 * wait and an xmin filter on the same input, with and without one unrelated open transaction.
 */
import { DEFAULT_MAJOR, type EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import type { MethodName } from './mark/method.ts'
import { runTrial, type Trial } from './mark/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:mark')
const { writers, seconds, rounds, postgres, ...rest } = readCommandLine(
  { writers: 8, seconds: 10, rounds: 3, 'threshold-ms': 3_000, seed: 1, postgres: DEFAULT_MAJOR },
  { seconds: 2, rounds: 1, 'threshold-ms': 500 },
)
const thresholdMs = rest['threshold-ms']
const SHARES = [1, 0.5, 0.2]
const DEFAULT_SHARE = 0.2
const SETTINGS: readonly Omit<Trial, 'withOpenTransaction'>[] = [
  ...SHARES.map((pollTimeShare) => ({ method: 'Tidemark' as const, pollTimeShare })),
  ...SHARES.map((pollTimeShare) => ({ method: 'xmin filter' as const, pollTimeShare })),
  { method: 'fixed wait', pollTimeShare: DEFAULT_SHARE },
]
const TRIALS: readonly Trial[] = SETTINGS.flatMap((setting) => [
  { ...setting, withOpenTransaction: false },
  { ...setting, withOpenTransaction: true },
])

await withServer(measure, {}, postgres)

async function measure(server: EmbeddedPostgres): Promise<void> {
  console.log(
    `\n${writers} writers for ${seconds} s a trial, ${rounds} rounds of ${TRIALS.length} trials: 10 % roll back, ` +
      `5 % hold their transaction open for 20-200 ms, pauses up to 20 ms`,
  )
  const delays = new Map<Trial, number[]>(TRIALS.map((trial) => [trial, []]))
  for (let round = 0; round < rounds; round++) {
    for (let index = 0; index < TRIALS.length; index++) {
      const trial = TRIALS[(index + round) % TRIALS.length] as Trial
      const seed = rest.seed + round
      const of = await runTrial(server, trial, { writers, seconds, thresholdMs, seed })
      delays.get(trial)?.push(...of)
      console.log(
        `  round ${round + 1}, ${describe(trial)}: p50 ${ms(percentile(of, 50))}, p99 ${ms(percentile(of, 99))}`,
      )
    }
  }
  report(delays)
}

function report(delays: ReadonlyMap<Trial, readonly number[]>): void {
  const of = (method: MethodName, share: number, open: boolean): readonly number[] =>
    [...delays].find(
      ([trial]) =>
        trial.method === method && trial.pollTimeShare === share && trial.withOpenTransaction === open,
    )?.[1] ?? []
  const baseline = percentile(of('fixed wait', DEFAULT_SHARE, false), 50)
  console.log(
    '\ndelay of the mark behind the oracle, all rounds; the baseline is the fixed wait without the open transaction',
  )
  printTable(
    ['method, share of one connection', 'unrelated transaction', 'events', 'p50', 'p99', 'p50 / fixed wait'],
    [...delays].map(([trial, values]) => [
      `${nameOf(trial.method)}, ${trial.pollTimeShare * 100} %`,
      trial.withOpenTransaction ? 'open' : 'none',
      wholeNumber(values.length),
      ms(percentile(values, 50)),
      ms(percentile(values, 99)),
      Number.isFinite(percentile(values, 50)) ? `${(percentile(values, 50) / baseline).toFixed(4)} x` : '-',
    ]),
  )
  for (const open of [false, true]) {
    const full = of('Tidemark', 1, open)
    const byDefault = of('Tidemark', DEFAULT_SHARE, open)
    console.log(
      `${open ? 'with' : 'without'} the open transaction: at 100 % p50 ${ms(percentile(full, 50))} (target 3 ms), ` +
        `p99 ${ms(percentile(full, 99))} (30 ms); at ${DEFAULT_SHARE * 100} % p50 ${ms(percentile(byDefault, 50))} (8 ms)`,
    )
  }
}

function describe({ method, pollTimeShare, withOpenTransaction }: Trial): string {
  return `${nameOf(method)} at ${pollTimeShare * 100} %${withOpenTransaction ? ', open transaction' : ''}`
}

function nameOf(method: MethodName): string {
  return method === 'fixed wait' ? `fixed wait of ${thresholdMs} ms` : method
}

function ms(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(1)} ms` : 'never'
}
