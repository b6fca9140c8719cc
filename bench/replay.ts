/**
 * `pnpm bench:replay`: how fast a projection catches up, beside a bare hand-written loop and beside Emmett's consumer.
 * Every contender does the same work (support/balances.ts), with its checkpoint in the same transaction. Instead of
 * that, by flags: `--policies`: what each policy for failures costs, and what a batch sends; `--many-types`: small events of
 * many types, of which few are wanted; `--large-events`: events of 5 kB; both with the memory that they take.
 */
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { bareLoop, CREATE_LOOP_CHECKPOINTS } from './replay/bare-loop.ts'
import { runInterleaved } from './replay/contender.ts'
import { emmett, fillEmmett, setEmmettIndex } from './replay/emmett.ts'
import { comparePolicies } from './replay/policies.ts'
import { replayLargeEvents, replayManyTypes } from './replay/shapes.ts'
import { tidemark } from './replay/tidemark.ts'
import { CREATE_BALANCES, type Transfer } from './support/balances.ts'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { CREATE_EVENTS, fillEvents, toTransfer } from './support/event-table.ts'
import { median } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:replay')
const parameters = readCommandLine(
  { events: 200_000, rounds: 5, 'emmett-events': 20_000, 'emmett-rounds': 3, 'failing-events': 20_000 },
  { events: 10_000, rounds: 1, 'emmett-events': 1_000, 'emmett-rounds': 1, 'failing-events': 3_000 },
  ['policies', 'many-types', 'large-events'],
)
const { events, rounds } = parameters
const PAGE_SIZES = [100, 500, 1000, 5000]

await withServer(async (server) => {
  if (parameters.policies) {
    await comparePolicies(server, { events, failingEvents: parameters['failing-events'], rounds })
  }
  if (parameters['many-types']) await replayManyTypes(server, events, rounds)
  if (parameters['large-events']) await replayLargeEvents(server, Math.ceil(events / 10), rounds)
  if (parameters.policies || parameters['many-types'] || parameters['large-events']) return
  await besideBareLoop(server)
  await besideEmmett(server)
})

async function besideBareLoop(server: EmbeddedPostgres): Promise<void> {
  const pool = await createDatabase(server, 'own_table')
  await pool.query(`${CREATE_EVENTS}; ${CREATE_BALANCES}; ${CREATE_LOOP_CHECKPOINTS}`)
  await fillEvents(pool, events)
  console.log(`\n${wholeNumber(events)} events through one projection, a checkpoint a page, ${rounds} rounds`)
  const onOwnTable = { pool, table: 'events', position: 'position', toTransfer, events, rounds }
  const columns = ['stream', 'type', 'data', 'created_at']
  const ofTidemark = (batchSize: number): string => `Tidemark, batchSize ${batchSize}`
  const byDefault = 'Tidemark, batchSize by default'
  const rates = await runInterleaved([
    ...PAGE_SIZES.flatMap((pageSize) => [
      bareLoop({ pool, pageSize, handled: events, events, rounds }),
      tidemark({ ...onOwnTable, columns, name: ofTidemark(pageSize), batchSize: pageSize }),
    ]),
    tidemark({ ...onOwnTable, columns, name: byDefault }),
  ])
  await pool.end()

  const rateOf = (name: string): number => median(rates.get(name) ?? [])
  const bestSize = PAGE_SIZES.toSorted(
    (a, b) => rateOf(`bare loop, pages of ${b}`) - rateOf(`bare loop, pages of ${a}`),
  )[0] as number
  const baseline = `bare loop, pages of ${bestSize}`
  printRates(rates, baseline)
  console.log(
    `against the loop's best page size (${bestSize}), median of the ratios within a round: at the same size ` +
      `${ratioWithin(rates, ofTidemark(bestSize), baseline)}, by default ${ratioWithin(rates, byDefault, baseline)}; target 1.00 x`,
  )
}

async function besideEmmett(server: EmbeddedPostgres): Promise<void> {
  const pool = await createDatabase(server, 'emmett')
  const connectionString = server.connectionString('emmett')
  await pool.query(CREATE_BALANCES)
  await fillEmmett(connectionString, pool, events)
  const emmettEvents = Math.min(events, parameters['emmett-events'])
  const emmettRounds = parameters['emmett-rounds']
  console.log(
    `\n${wholeNumber(events)} events in Emmett's own schema: Emmett over ${wholeNumber(emmettEvents)} in the middle, ` +
      `Tidemark over all; ${emmettRounds} rounds`,
  )
  const ofEmmett = { connectionString, pool, stored: events, events: emmettEvents, rounds: emmettRounds }
  const baseline = 'Emmett as it comes (no index, 100 a page, 50 ms between)'
  const tuned = 'Emmett, index, 1000 a page, 1 ms between'
  const tidemarkName = 'Tidemark on its table, index'
  const rates = await runInterleaved([
    emmett({ ...ofEmmett, name: baseline, withIndex: false }),
    emmett({ ...ofEmmett, name: 'Emmett, index', withIndex: true }),
    emmett({
      ...ofEmmett,
      name: tuned,
      withIndex: true,
      pulling: { batchSize: 1000, pullingFrequencyInMs: 1 },
    }),
    tidemark({
      name: tidemarkName,
      pool,
      table: 'emt_messages',
      position: 'global_position',
      columns: ['stream_id', 'message_type', 'message_data', 'created'],
      toTransfer: (row) => row.message_data as Transfer,
      events,
      rounds: emmettRounds,
      prepare: () => setEmmettIndex(pool, true),
    }),
  ])
  await pool.end()
  printRates(rates, baseline)
  console.log(
    `median of the ratios within a round: Tidemark against Emmett as it comes ` +
      `${ratioWithin(rates, tidemarkName, baseline)}, target 30 x; against the fairest, Emmett tuned and with the ` +
      `index, ${ratioWithin(rates, tidemarkName, tuned)}`,
  )
}

function printRates(rates: ReadonlyMap<string, readonly number[]>, baseline: string): void {
  const base = median(rates.get(baseline) ?? [])
  console.log()
  printTable(
    ['median of interleaved runs', 'events/s', 'slowest', 'fastest', `x "${baseline}"`],
    [...rates].map(([name, of]) => [
      name,
      wholeNumber(median(of)),
      wholeNumber(Math.min(...of)),
      wholeNumber(Math.max(...of)),
      ratio(median(of), base),
    ]),
  )
}

/** A slow spell of the machine hits both runs of a round, so this is steadier than the ratio of the medians. */
function ratioWithin(rates: ReadonlyMap<string, readonly number[]>, name: string, base: string): string {
  const bases = rates.get(base) ?? []
  return ratio(median((rates.get(name) ?? []).map((rate, round) => rate / (bases[round] ?? Number.NaN))), 1)
}

function ratio(rate: number, base: number): string {
  return `${(rate / base).toFixed(2)} x`
}
