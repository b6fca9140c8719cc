import { percentile } from '../support/statistics.ts'
import { printTable, wholeNumber } from '../support/table.ts'
import type { TrialResult } from './trial.ts'

/** Delays from the answer to a commit to the end of the handler, and what the consumer's backends have spent. */
export function printResults(heading: string, results: readonly (readonly [string, TrialResult])[]): void {
  console.log(
    '\nfrom the answer to a commit to the end of the handler; statements and CPU of the backends of the consumer alone',
  )
  printTable(
    [heading, 'events', 'p50', 'p95', 'p99', 'greatest', 'statements/s', 'CPU of a core', 'connections'],
    results.map(([name, { delays, statementsPerSecond, cpuShare, connections }]) => [
      name,
      wholeNumber(delays.length),
      ...[50, 95, 99, 100].map((percent) => ms(percentile(delays, percent))),
      wholeNumber(statementsPerSecond),
      Number.isNaN(cpuShare) ? '-' : `${(cpuShare * 100).toFixed(1)} %`,
      wholeNumber(connections),
    ]),
  )
}

export function ms(value: number): string {
  if (Number.isNaN(value)) return '-'
  return Number.isFinite(value) ? `${value.toFixed(1)} ms` : 'never'
}
