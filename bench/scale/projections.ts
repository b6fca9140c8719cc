import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'
import { Counter } from '../support/counting-client.ts'
import { createDatabase } from '../support/database.ts'
import { median } from '../support/statistics.ts'
import { cpuMsOf } from './cost.ts'
import { printSizes, type SizedFigures } from './costs-table.ts'
import { appendEvents, CREATE_TABLE } from './tables.ts'

/** Apart from each other: each is polled, read and handled by itself. */
const EVENTS_A_SECOND = 5
/** The wait for the next event has become slower, and checkpoints follow the mark. */
const SETTLE_DOWN_MS = 5_000

const HEADINGS = ['polls', 'a poll, ms', 'statements', 'server, CPU ms', 'node, CPU ms']

/** One daemon with that many projections, idle and while events come one by one. */
export async function byProjections(
  server: EmbeddedPostgres,
  sizes: readonly number[],
  seconds: number,
): Promise<void> {
  const idle: SizedFigures[] = []
  const busy: SizedFigures[] = []
  for (const size of sizes) {
    const name = `by_projections_${size}`
    const pool = await createDatabase(server, name)
    await pool.query(CREATE_TABLE)
    await appendEvents(pool, 1_000)
    const counter = new Counter(() => 'all')
    const consumers = new pg.Pool({
      connectionString: server.connectionString(name),
      Client: counter.Client,
      application_name: 'consumers',
      idleTimeoutMillis: 0,
    })
    const pollsMs: number[] = []
    const daemon = createDaemon({
      source: postgresEvents({ pool: consumers, table: 'events', eventType: 'type' }),
      checkpoints: postgresCheckpoints({ pool: consumers }),
      projections: Array.from({ length: size }, (_, index) => ({
        name: `projection_${index}`,
        handle: () => {},
      })),
      telemetry: { polled: ({ durationMs }) => pollsMs.push(durationMs) },
    })
    await daemon.start()
    await daemon.waitUntilProjected()
    await sleep(SETTLE_DOWN_MS)
    const during = async (run: Promise<unknown>): Promise<number[]> => {
      counter.clear()
      pollsMs.length = 0
      const [serverBefore, nodeBefore] = [await serverCpuMs(pool), process.cpuUsage()]
      await run
      const { user, system } = process.cpuUsage(nodeBefore)
      const spent = (await serverCpuMs(pool)) - serverBefore
      const statements = counter.sent.get('all')?.statements ?? 0
      const aSecond = [statements, spent, (user + system) / 1_000].map((figure) => figure / seconds)
      return [pollsMs.length / seconds, median(pollsMs), ...aSecond]
    }
    idle.push({ size, figures: await during(sleep(seconds * 1_000)) })
    busy.push({ size, figures: await during(appendSlowly(pool, seconds)) })
    await daemon.stop()
    await consumers.end()
    await pool.end()
  }
  console.log('\na second without an event')
  printSizes('projections', HEADINGS, idle)
  console.log(`\na second with ${EVENTS_A_SECOND} events, which every projection handles`)
  printSizes('projections', HEADINGS, busy)
}

async function appendSlowly(pool: pg.Pool, seconds: number): Promise<void> {
  await pool.query(`do $$ begin
    for n in 1..${seconds * EVENTS_A_SECOND} loop
      insert into events default values; commit;
      perform pg_sleep(${1 / EVENTS_A_SECOND});
    end loop; end $$`)
}

/** Of all backends of the consumers. */
async function serverCpuMs(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>(
    "select pid from pg_stat_activity where application_name = 'consumers' and datname = current_database()",
  )
  const spent = await Promise.all(rows.map(({ pid }) => cpuMsOf(pid)))
  return spent.reduce((sum, ms) => sum + ms, 0)
}
