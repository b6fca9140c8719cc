/**
 * `pnpm bench:shared-reads`: what it costs to read the newest events for many projections. Statements a second of polls and pages, of one
 * projection, of a hundred that want every event, of a hundred that want a type each, of one in eight shards, and of ten in one daemon and
 * in ten; with delays, CPU and memory beside them. The handlers do nothing, so a batch is the transaction that moves its checkpoint.
 */
import type { Layout } from './shared-reads/protocol.ts'
import { READER_ROLE, runTrial, type TrialResult, WRITER_ROLE } from './shared-reads/trial.ts'
import { readCommandLine } from './support/command-line.ts'
import { createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:shared-reads')
const { rate, seconds, projections, shards } = readCommandLine(
  { rate: 500, seconds: 30, projections: 100, shards: 8 },
  { rate: 50, seconds: 3, projections: 10 },
)
const MIB = 1024 * 1024

const EACH_IN_ITS_DAEMON = 10
const ONE: Layout = { name: '1 projection', projections: 1, hasTypeEach: false, shards: 1, daemons: 1 }
const LAYOUTS: readonly Layout[] = [
  ONE,
  { ...ONE, name: `${projections} projections, every event`, projections },
  { ...ONE, name: `${projections} projections, a type each`, projections, hasTypeEach: true },
  { ...ONE, name: `1 projection, ${shards} shards by a column`, shards },
  { ...ONE, name: `${EACH_IN_ITS_DAEMON} projections`, projections: EACH_IN_ITS_DAEMON },
  {
    ...ONE,
    name: `${EACH_IN_ITS_DAEMON} projections, each in a daemon of its own`,
    projections: EACH_IN_ITS_DAEMON,
    daemons: EACH_IN_ITS_DAEMON,
  },
]

await withServer(
  async (server) => {
    for (const role of [READER_ROLE, WRITER_ROLE]) await createRole(server, role)
    const results: [Layout, TrialResult][] = []
    for (const layout of LAYOUTS) {
      const result = await runTrial(server, layout, { rate, seconds })
      results.push([layout, result])
      console.log(`  ${layout.name}: ${wholeNumber(result.readStatementsPerSecond)} read statements/s`)
    }
    print(results)
  },
  { shared_preload_libraries: 'pg_stat_statements', max_connections: String(projections + 100) },
)

function print(results: readonly (readonly [Layout, TrialResult])[]): void {
  console.log(
    `\n${rate} events/s for ${seconds} s, to daemons that have caught up, in a process of their own. Read statements are those of polls and ` +
      'pages, with BEGIN and all; batch statements those of batches and checkpoints (pg_stat_statements, by role). Delays are from the answer to a commit to the ' +
      'end of the handler, of all projections. Cores of the server are those of everything, the appends too. Each event was handled once by each who wants ' +
      'it. Where both have no core left, batches grow, and delays with them: each projection has a transaction of its own for each batch',
  )
  const one = results[0]?.[1].readStatementsPerSecond ?? Number.NaN
  printTable(
    [
      'layout',
      'events/s',
      'read statements/s',
      'x of one',
      'polls/s',
      'pages/s',
      'batch statements/s',
      'p50',
      'p99',
      'cores, node',
      'server',
      'resident MiB',
      'of it the daemon',
    ],
    results.map(([{ name }, result]) => [
      name,
      wholeNumber(result.eventsPerSecond),
      wholeNumber(result.readStatementsPerSecond),
      `${(result.readStatementsPerSecond / one).toFixed(2)} x`,
      wholeNumber(result.pollsPerSecond),
      result.pagesPerSecond.toFixed(1),
      wholeNumber(result.otherStatementsPerSecond),
      `${wholeNumber(result.p50)} ms`,
      `${wholeNumber(result.p99)} ms`,
      result.nodeCores.toFixed(2),
      result.serverCores.toFixed(2),
      (result.resident / MIB).toFixed(0),
      (result.grown / MIB).toFixed(0),
    ]),
  )
}
