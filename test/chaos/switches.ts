import { setTimeout as sleep } from 'node:timers/promises'
import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect } from 'vitest'
import type { Random } from '../core/model/random.ts'
import { append, lastPosition } from './events.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'

/** Where a process is killed: at once, soon after it was asked, within `onSwitch` before and after it has changed anything. */
const PHASES = ['asked', 'later', 'begun', 'changed'] as const

/**
 * Asks for a switch to and fro, and kills the process that carries it out, that many times, while events are appended and a
 * reader polls. After each kill everything is as before the switch or as after it.
 */
export async function killInSwitch(random: Random, kills: number): Promise<void> {
  const store = await chaosStore()
  await store.query(
    `create table orders_1 (position bigint primary key); create table orders_2 (position bigint primary key);
     create view orders as select position from orders_1;
     create table serving (version int); insert into serving values (1);
     create table switches (id serial, live int, first bigint, second bigint)`,
  )
  const start = (): Promise<DaemonProcess> => spawnDaemon({ url: store.url }, 'versions')
  const operations = createOperations({ checkpoints: postgresCheckpoints({ pool: store.pool() }) })
  let running = await start()
  await until('both versions are there', async () => (await operations.list()).length === 2)
  let live = (await operations.list()).find(({ role }) => role === 'live')?.unit.version ?? 0
  await store.query('update serving set version = $1', [live])
  await store.query(`create or replace view orders as select position from orders_${live}`)
  const over = new AbortController()
  const working = Promise.all([appending(store, over.signal), polling(store, over.signal)])
  // Where a round fails, that is told, and not what follows from it.
  working.catch(() => {})
  for (let kill = 0; kill < kills; kill++) {
    const next = live === 1 ? 2 : 1
    const asked = operations.switchTo({
      projection: 'orders',
      version: next,
      who: 'chaos',
      why: `kill ${kill}`,
      timeoutMs: 60_000,
    })
    asked.catch(() => {})
    const phase = PHASES[random.below(PHASES.length)] ?? 'asked'
    if (phase === 'later') await sleep(random.below(1_500))
    else if (phase !== 'asked') await running.says(phase).then(() => sleep(random.below(15)))
    await running.kill()
    await expectConsistent(store)
    running = await start()
    await asked
    live = next
    await expectConsistent(store)
    const { rows } = await store.query('select version from serving')
    expect(rows[0].version, `after kill ${kill} in the phase ${phase}`).toBe(live)
  }
  over.abort()
  await working
  const last = await lastPosition(store)
  for (const version of [1, 2]) {
    await until(`version ${version} has handled everything`, async () => {
      const { rows } = await store.query(`select count(*)::int as n from orders_${version}`)
      return rows[0].n === last
    })
  }
  const { rows } = await store.query('select first::int, second::int from switches order by id')
  expect(rows.length, 'switches').toBe(kills)
  for (const { first, second } of rows) expect(first, 'what both had at a switch').toBe(second)
  await running.terminate()
}

/** The roles, what readers see, and the audit agree; what readers see is all that the live version has passed. */
async function expectConsistent(store: ChaosStore): Promise<void> {
  const { rows } = await store.query(
    `select s.version as serving, c.version as live, c.position::int as position,
       (select count(*)::int from orders) as seen, (select count(*)::int from switches) as switches,
       (select count(*)::int from tidemark.audit where operation = 'switch' and refused is null) as audited
     from serving s, tidemark.checkpoints c where c.projection = 'orders' and c.role = 'live'`,
  )
  expect(rows).toHaveLength(1)
  const { serving, live, position, seen, switches, audited } = rows[0]
  expect([serving, seen, switches]).toEqual([live, position ?? 0, audited])
}

async function appending(store: ChaosStore, signal: AbortSignal): Promise<void> {
  const pool = store.pool()
  while (!signal.aborted) {
    await append(pool, 3)
    await sleep(10)
  }
}

/** As a client of the application: there is never a hole, and never less than before. */
async function polling(store: ChaosStore, signal: AbortSignal): Promise<void> {
  const pool = store.pool()
  let greatest = 0
  while (!signal.aborted) {
    const { rows } = await pool.query(
      'select count(*)::int as n, coalesce(max(position), 0)::int as last from orders',
    )
    const { n, last } = rows[0]
    expect(n, 'events without a hole').toBe(last)
    expect(last, 'never less than before').toBeGreaterThanOrEqual(greatest)
    greatest = last
    await sleep(5)
  }
}
