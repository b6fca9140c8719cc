/**
 * `pnpm bench:shards`: what shards bring. A handler that waits for each event, one after the other, by the number of shards in one
 * process. And a handler that uses the CPU, in one process against two. All events are there before; the rate is that from
 * the first call of a handler to the commit of the last batch, of all shards. It fails where an event did not come once, or not in the
 * order of its key.
 */
import type { Work } from './shards/protocol.ts'
import { turnsTaking } from './shards/spin.ts'
import { runTrial, type TrialResult } from './shards/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { withServer } from './support/environment.ts'
import { median } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:shards')
const options = readCommandLine(
  { seconds: 10, rounds: 3, 'wait-ms': 1, 'cpu-microseconds': 100, 'cpu-shards': 4, keys: 4_000 },
  { seconds: 1, rounds: 1, keys: 200 },
)
const { seconds, rounds, keys } = options

interface Row {
  readonly name: string
  readonly work: Work
  readonly shards: number
  readonly processes: number
  readonly events: number
}

const waiting: Work = { kind: 'wait', ms: options['wait-ms'] }
const computing: Work = { kind: 'cpu', turns: turnsTaking(options['cpu-microseconds']) }
const SECTIONS: readonly (readonly Row[])[] = [
  [1, 2, 4, 8].map((shards) => ({
    name: `waits ${options['wait-ms']} ms an event, ${shards} ${shards === 1 ? 'shard' : 'shards'}`,
    work: waiting,
    shards,
    processes: 1,
    events: Math.ceil((1_000 / options['wait-ms']) * seconds * shards),
  })),
  [1, 2].map((processes) => ({
    name: `${options['cpu-microseconds']} µs of CPU an event, ${processes} ${processes === 1 ? 'process' : 'processes'}`,
    work: computing,
    shards: options['cpu-shards'],
    processes,
    events: Math.ceil((1e6 / options['cpu-microseconds']) * seconds * processes),
  })),
]

await withServer(async (server) => {
  for (const section of SECTIONS) {
    const results: TrialResult[][] = section.map(() => [])
    for (let round = 0; round < rounds; round++) {
      for (const [index, { name, ...trial }] of section.entries()) {
        const result = await runTrial(server, { ...trial, keys })
        results[index]?.push(result)
        console.log(`  ${name}: ${wholeNumber(result.eventsPerSecond)} events/s`)
      }
    }
    print(section, results)
  }
})

/** Medians of the rounds; a speed-up is that of each round. */
function print(section: readonly Row[], results: readonly (readonly TrialResult[])[]): void {
  console.log(
    `\nmedians of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}; each event came once, and in the order of its key: checked for all. ` +
      'Cores are those in use on average',
  )
  const [first = []] = results
  const middle = (of: readonly TrialResult[], figure: (result: TrialResult) => number): number =>
    median(of.map(figure))
  printTable(
    [
      'handler',
      'shards',
      'events',
      'order by key',
      'events/s',
      'speed-up',
      'largest shard',
      'cores, node',
      'server',
    ],
    section.map(({ name, shards, events }, index) => {
      const of = results[index] ?? []
      const speedUps = of.map(
        ({ eventsPerSecond }, round) => eventsPerSecond / (first[round]?.eventsPerSecond ?? Number.NaN),
      )
      return [
        name,
        `${shards}`,
        wholeNumber(events),
        'kept',
        wholeNumber(middle(of, (result) => result.eventsPerSecond)),
        `${median(speedUps).toFixed(2)} x`,
        `${(middle(of, (result) => result.largestShare) * 100).toFixed(0)} % of even`,
        middle(of, (result) => result.nodeCores).toFixed(2),
        middle(of, (result) => result.serverCores).toFixed(2),
      ]
    }),
  )
}
