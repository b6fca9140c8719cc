/**
 * `pnpm bench:watch-cost`: what a watch at its default interval costs the server. Writers append at a rate, a plain loop reads; with
 * the watch beside them and without it, in turns. CPU is that of all backends of the server, those of writers and loop too.
 */
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWatch } from '@tidemark/core'
import { postgresConsumers, watchedPostgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:watch-cost')
const { seconds, rate, writers, rounds, readEveryMs } = readCommandLine(
  { seconds: 15, rate: 200, writers: 4, rounds: 3, readEveryMs: 20 },
  { seconds: 2, rounds: 1 },
)

const TABLES = `
  create table events (position bigserial primary key, type text not null, data text not null);
  create table loops (name text primary key, position bigint not null);
  insert into loops values ('plain', 0)`

/** Linux counts the time of a process in these. */
const TICKS_PER_SECOND = 100

interface Trial {
  readonly events: number
  readonly cpuMs: number
  readonly messages: number
  readonly looks: number
}

let messages = 0
/** Each call is one message, of one statement or several. */
class CountingClient extends pg.Client {
  override query = ((...parameters: Parameters<pg.Client['query']>) => {
    messages++
    return super.query(...parameters)
  }) as pg.Client['query']
}

await withServer(async (server) => {
  const trials = { alone: [] as Trial[], watched: [] as Trial[] }
  for (let round = 0; round < rounds; round++) {
    for (const how of ['alone', 'watched'] as const) {
      trials[how].push(await run(server, `watch_${round}_${how}`, how === 'watched'))
    }
  }
  report(trials.alone, trials.watched)
})

async function run(server: EmbeddedPostgres, name: string, isWatched: boolean): Promise<Trial> {
  const pool = await createDatabase(server, name)
  await pool.query(TABLES)
  const watchPool = new pg.Pool({
    connectionString: server.connectionString(name),
    Client: CountingClient,
    max: 3,
  })
  const watch = createWatch({
    source: watchedPostgresEvents({ pool: watchPool, table: 'events', eventType: 'type' }),
    consumers: postgresConsumers({
      pool: watchPool,
      table: 'loops',
      consumer: 'name',
      checkpoint: 'position',
    }),
  })
  const isOver = { yet: false }
  const work = Promise.all([
    readOn(pool, isOver),
    ...Array.from({ length: writers }, (_, index) => append(pool, index, isOver)),
  ])
  if (isWatched) await watch.start()
  await sleep(1_000)
  const before = { cpuMs: await cpuMsOf(server), events: await count(pool), looks: watch.status().looks }
  messages = 0
  await sleep(seconds * 1_000)
  const trial = {
    cpuMs: (await cpuMsOf(server)) - before.cpuMs,
    messages,
    events: (await count(pool)) - before.events,
    looks: watch.status().looks - before.looks,
  }
  isOver.yet = true
  await work
  await watch.stop()
  await watchPool.end()
  await pool.end()
  return trial
}

/** Every other writer's transaction stays open for a while, so that numbers are missing. */
async function append(pool: pg.Pool, index: number, isOver: { readonly yet: boolean }): Promise<void> {
  const client = await pool.connect()
  const everyMs = (1_000 * writers) / rate
  for (let dueMs = performance.now(); !isOver.yet; dueMs += everyMs) {
    await sleep(Math.max(0, dueMs - performance.now()))
    await client.query('begin')
    await client.query(`insert into events (type, data) values ('Deposited', repeat('x', 200))`)
    if (index % 2 === 0) await sleep(everyMs / 2)
    await client.query('commit')
  }
  client.release()
}

async function readOn(pool: pg.Pool, isOver: { readonly yet: boolean }): Promise<void> {
  const client = await pool.connect()
  while (!isOver.yet) {
    const { rows } = await client.query(
      'select position from events where position > (select position from loops) order by position limit 100',
    )
    const last = rows.at(-1)?.position
    if (last !== undefined) await client.query('update loops set position = $1', [last])
    await sleep(readEveryMs)
  }
  client.release()
}

async function count(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query('select count(*)::int as events from events')
  return rows[0].events
}

/** Of all processes of the server that are there: those of this trial outlive it. */
async function cpuMsOf({ postmasterPid }: EmbeddedPostgres): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const times = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
      // After the name, which may have spaces: state, parent, ..., user and system time.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const isOfServer = pid === String(postmasterPid) || fields[1] === String(postmasterPid)
      return isOfServer ? Number(fields[11]) + Number(fields[12]) : 0
    }),
  )
  return (times.reduce((sum, ticks) => sum + ticks, 0) * 1_000) / TICKS_PER_SECOND
}

function report(alone: readonly Trial[], watched: readonly Trial[]): void {
  const total = (of: readonly Trial[], what: keyof Trial): number =>
    of.reduce((sum, trial) => sum + trial[what], 0)
  const cpuShare = (of: readonly Trial[]): number => total(of, 'cpuMs') / (of.length * seconds * 1_000)
  console.log(`\n${writers} writers, ${rate} events/s asked for, a loop that reads every ${readEveryMs} ms`)
  printTable(
    ['', 'events/s', "CPU of the server's processes", 'messages/s of the watch', 'looks/s'],
    [['without the watch', alone] as const, ['with the watch', watched] as const].map(([name, of]) => [
      name,
      wholeNumber(total(of, 'events') / of.length / seconds),
      `${(cpuShare(of) * 100).toFixed(1)} % of a core`,
      wholeNumber(total(of, 'messages') / of.length / seconds),
      wholeNumber(total(of, 'looks') / of.length / seconds),
    ]),
  )
  const ratio = cpuShare(watched) / cpuShare(alone)
  console.log(`CPU of the server with the watch: ${ratio.toFixed(2)} x that without it`)
}
