/**
 * `pnpm bench:moves`: nodes that share projections by leases come and go (1, 5, 4, 5). How many projections move, beside the fewest that
 * have to; then what the leases cost while nothing happens, and while events are appended: statements, and rows that were not updated in place.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import {
  append,
  type BenchNode,
  createNodesDatabase,
  joinNodes,
  spawnNode,
  stopNode,
  unitsOf,
  untilShared,
} from './leases/nodes.ts'
import { readCommandLine } from './support/command-line.ts'
import { asRole, createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { paced } from './support/paced.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:moves')
const {
  projections,
  seconds,
  rate,
  'lease-ms': leaseMs,
} = readCommandLine(
  { projections: 100, seconds: 60, rate: 5, 'lease-ms': 10_000 },
  { projections: 10, seconds: 3, 'lease-ms': 2_000 },
)

const MOST_NODES = 5
const ROLE = 'node'
const units = Array.from({ length: projections }, (_, n) => `projection_${n + 1}`)

await withServer(
  async (server) => {
    const pool = await createNodesDatabase(server, 'moves')
    await pool.query('create extension pg_stat_statements')
    await createRole(server, ROLE)
    const url = asRole(server.connectionString('moves'), ROLE)
    let started = 0
    const start = async (count: number): Promise<readonly BenchNode[]> => {
      const spawned = await Promise.all(Array.from({ length: count }, () => spawnNode(`node ${++started}`)))
      await joinNodes(spawned, { url, leaseMs, units })
      return spawned
    }
    const moves: string[][] = []
    /** Counts what moves, from a change until all is as it should be, and for two renewals more. */
    const moving = async (what: string, least: number, change: () => Promise<void>): Promise<void> => {
      await pool.query('truncate given')
      const beganMs = Date.now()
      await change()
      await untilShared(pool, nodes, units)
      await sleep((2 * leaseMs) / 3)
      await untilShared(pool, nodes, units)
      const { rows } = await pool.query<{ moves: number; last: number | null }>(
        `select count(*)::int as moves, extract(epoch from max(at))::float8 * 1000 as last from given`,
      )
      const [found] = rows
      const settledMs = (found?.last ?? beganMs) - beganMs
      moves.push([what, String(found?.moves), String(least), `${(settledMs / 1_000).toFixed(1)} s`])
    }
    const nodes = [...(await start(1))]
    await untilShared(pool, nodes, units)

    await moving('1 to 5 nodes, at once', shareOfNew(1, MOST_NODES), async () => {
      nodes.push(...(await start(MOST_NODES - 1)))
    })
    const [leaving] = nodes.splice(1, 1)
    if (leaving === undefined) throw new TypeError('there are five')
    await moving('5 to 4 nodes', (await unitsOf(pool, leaving)).length, () => stopNode(leaving))
    await moving('4 to 5 nodes', shareOfNew(MOST_NODES - 1, MOST_NODES), async () => {
      nodes.push(...(await start(1)))
    })
    console.log(`\n${projections} projections; the last one has moved so long after the change began`)
    printTable(['change', 'moves', 'fewest', 'settled after'], moves)

    const before = await leaseStatements(pool)
    const tables = [await leaseTables(pool)]
    await sleep(seconds * 1_000)
    printStatements(before, await leaseStatements(pool))
    tables.push(await leaseTables(pool))
    await paced({ perSecond: rate, seconds, most: 1 }, () => append(pool))
    await Promise.all(nodes.map(stopNode))
    tables.push(await leaseTables(pool))
    printTables(tables)
    await pool.end()
  },
  { shared_preload_libraries: 'pg_stat_statements', max_connections: '200' },
)

/** How many units those that come are to have. */
function shareOfNew(before: number, after: number): number {
  const fewest = Math.floor(projections / after)
  return (after - before) * fewest + Math.max(0, (projections % after) - before)
}

/** How often each statement about nodes was sent. */
async function leaseStatements(pool: pg.Pool): Promise<ReadonlyMap<string, number>> {
  const { rows } = await pool.query<{ text: string; calls: string }>(
    `select left(regexp_replace(s.query, '\\s+', ' ', 'g'), 70) as text, sum(s.calls)::text as calls
     from pg_stat_statements s join pg_roles r on r.oid = s.userid
     where r.rolname = $1 and s.query like '%"nodes"%' group by 1 order by 1`,
    [ROLE],
  )
  return new Map(rows.map(({ text, calls }) => [text, Number(calls)]))
}

function printStatements(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): void {
  const sent = [...after]
    .map(([text, calls]) => [text, calls - (before.get(text) ?? 0)] as const)
    .filter(([, calls]) => calls > 0)
  const total = sent.reduce((sum, [, calls]) => sum + calls, 0)
  console.log(
    `\n${MOST_NODES} nodes, ${projections} projections, leases of ${leaseMs} ms, ${seconds} s without an event. Each message begins a ` +
      'transaction and commits it besides',
  )
  printTable(
    ['statement of the leases', 'calls', 'a second'],
    [...sent, ['all', total] as const].map(([text, calls]) => [
      text,
      wholeNumber(calls),
      (calls / seconds).toFixed(2),
    ]),
  )
}

interface TableState {
  readonly name: string
  readonly updates: number
  readonly hot: number
  readonly bytes: number
}

async function leaseTables(pool: pg.Pool): Promise<readonly TableState[]> {
  const { rows } = await pool.query<TableState>(
    `select relname as name, n_tup_upd::int as updates, n_tup_hot_upd::int as hot, pg_relation_size(relid)::int as bytes
     from pg_stat_user_tables where schemaname = 'tidemark' and relname in ('nodes', 'checkpoints') order by relname desc`,
  )
  return rows
}

/** @param states - at the beginning, when nothing was appended, and at the end */
function printTables(states: readonly (readonly TableState[])[]): void {
  console.log(
    `\n${seconds} s without an event, then ${seconds} s with ${rate} events/s, each handled by ${projections} projections. No vacuum. The ` +
      'server counts what a session has done up to 10 s later',
  )
  const [begun = [], idle = [], ended = []] = states
  const rows = [
    ['without events', begun, idle] as const,
    ['with events, and stop()', idle, ended] as const,
  ].flatMap(([what, from, to]) =>
    to.map(({ name, updates, hot, bytes }) => {
      const before = from.find((each) => each.name === name)
      return [
        `${name}, ${what}`,
        wholeNumber(updates - (before?.updates ?? 0)),
        wholeNumber(hot - (before?.hot ?? 0)),
        wholeNumber(before?.bytes ?? 0),
        wholeNumber(bytes),
      ]
    }),
  )
  printTable(['table', 'updates', 'in place (HOT)', 'bytes before', 'bytes after'], rows)
}
