import type { Clock, Daemon, LeasedNodeOptions, Projection } from '@tidemark/core'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import { systemClock } from '../../packages/core/src/kernel/clock.ts'
import { gate } from '../core/rig.ts'
import {
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()
const NAMES = ['orders', 'stock', 'mails', 'invoices', 'search', 'sales']

const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))

async function table(): Promise<EventTable> {
  const events = await db.events()
  await events.run(`${HANDLED}; create table worked (projection text, node text)`)
  return events
}

interface Starting extends LeasedNodeOptions {
  readonly pool?: Pool
  readonly handlersPool?: Pool
  readonly clock?: Clock
  readonly handle?: () => Promise<void>
}

/** Each writes down the name of its node in the checkpoint's transaction. */
function start(
  events: EventTable,
  name: string,
  {
    pool = db.newPool(),
    handlersPool = pool,
    clock = systemClock,
    handle = async () => {},
    ...nodes
  }: Starting = {},
): Promise<Daemon<bigint>> {
  return startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, handlersPool),
    nodes: { name, ...nodes },
    clock,
    projections: NAMES.map((projection): Projection<PostgresRow, PgClient> => {
      const recording = recorder(events, projection)
      return {
        ...recording,
        handle: async (page, context) => {
          await recording.handle(page, context)
          await context.tx.query(`insert into ${events.schema}.worked values ($1, $2)`, [projection, name])
          await handle()
        },
      }
    }),
  })
}

const owned = (daemon: Daemon<bigint>): readonly string[] =>
  daemon
    .status()
    .projections.filter(({ lease, state }) => lease?.isHere && state === 'live')
    .map(({ name }) => name)

async function settled(daemons: readonly Daemon<bigint>[], sizes: readonly number[]): Promise<void> {
  await eventually(() => daemons.map((daemon) => owned(daemon).length)).toEqual(sizes)
}

const handled = (events: EventTable) => Promise.all(NAMES.map((name) => handledBy(db.pool, events, name)))

const presenceOf = async (events: EventTable, name: string) => {
  const { rows } = await db.pool.query(
    `select presence_pid as pid from ${events.schema}.nodes where name = $1 and not has_left`,
    [name],
  )
  return rows[0]?.pid as number | undefined
}

test('three daemons share the projections evenly, those of one that stops go to the others, and nothing is handled twice', async () => {
  const events = await table()
  const daemons = [await start(events, 'a'), await start(events, 'b'), await start(events, 'c')]
  await settled(daemons, [2, 2, 2])
  await events.append(30)
  for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const [a, b, c] = daemons
  await b?.stop()
  expect(b?.status().cluster?.life).toBe('gone')
  await settled([a ?? expect.fail(), c ?? expect.fail()], [3, 3])
  await events.append(10)
  await a?.waitUntilProjected({ timeoutMs: 30_000 })
  for (const positions of await handled(events)) expect(positions).toEqual(numbers(40))
  const { rows } = await db.pool.query(`select distinct node from ${events.schema}.worked order by node`)
  expect(rows.map(({ node }) => node)).toEqual(['a', 'b', 'c'])
})

test('handlers that hold every connection of the pool stop no renewal', async () => {
  const events = await table()
  const holding = gate()
  const pool = db.newPool({ max: NAMES.length })
  const leaseMs = 4_000
  const a = await start(events, 'a', {
    leaseMs,
    pool: db.newPool(),
    handlersPool: pool,
    handle: () => holding.promise,
  })
  await settled([a], [NAMES.length])
  await eventually(() => presenceOf(events, 'a')).toEqual(expect.any(Number))
  const other = await start(events, 'b', { leaseMs, capacity: 0.000_1 })
  await events.append(1)
  await eventually(() => pool.waitingCount).toBeGreaterThan(0)
  const renewedAt = async () => {
    const { rows } = await db.pool.query(`select expires_at from ${events.schema}.nodes where name = 'a'`)
    return Number(rows[0]?.expires_at)
  }
  const before = await renewedAt()
  await eventually(renewedAt).toBeGreaterThan(before + leaseMs)
  expect(pool.waitingCount).toBeGreaterThan(0)
  expect(a.status().projections.filter(({ lease }) => lease?.isHere)).toHaveLength(NAMES.length)
  expect(owned(other)).toEqual([])
  holding.open()
  await a.waitUntilProjected({ timeoutMs: 30_000 })
  for (const positions of await handled(events)) expect(positions).toEqual([1n])
})

test('a connection that the server ends is made anew, and nothing is handled twice', async () => {
  const events = await table()
  const daemons = [await start(events, 'a'), await start(events, 'b')]
  await settled(daemons, [3, 3])
  for (let cull = 0; cull < 3; cull++) {
    const pid = await eventuallyPid(events, 'a')
    await db.pool.query('select pg_terminate_backend($1)', [pid])
    await eventually(() => presenceOf(events, 'a')).not.toBe(pid)
  }
  await eventually(() => daemons[0]?.status().cluster?.seenBy).toBe('presence')
  await events.append(5)
  for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  await settled(daemons, [3, 3])
  for (const positions of await handled(events)) expect(positions).toEqual(numbers(5))
})

async function eventuallyPid(events: EventTable, name: string): Promise<number> {
  await eventually(() => presenceOf(events, name)).toEqual(expect.any(Number))
  return (await presenceOf(events, name)) ?? expect.fail()
}

test('clocks that are an hour off move nothing', async () => {
  const events = await table()
  const off = (ms: number): Clock => ({
    nowMs: () => systemClock.nowMs() + ms,
    sleep: (...args) => systemClock.sleep(...args),
  })
  const daemons = [
    await start(events, 'a', { clock: off(3_600_000), leaseMs: 5_000 }),
    await start(events, 'b', { clock: off(-3_600_000), leaseMs: 5_000 }),
  ]
  await settled(daemons, [3, 3])
  const fences = async () => {
    const { rows } = await db.pool.query(
      `select projection, fence from ${events.schema}.checkpoints order by projection`,
    )
    return rows
  }
  const before = await fences()
  const asked = await renewals(events)
  await eventually(() => renewals(events)).toBeGreaterThan(asked + 3)
  expect(await fences()).toEqual(before)
})

/** Rows of the nodes that were written so far, as their renewals do. */
async function renewals(events: EventTable): Promise<number> {
  const { rows } = await db.pool.query(
    `select n_tup_upd::int as n from pg_stat_user_tables where schemaname = $1 and relname = 'nodes'`,
    [events.schema],
  )
  return Number(rows[0]?.n)
}

test('nodes under different roles, which see nothing of each other, take each other for alive, and for gone once a lease has expired', async () => {
  const events = await table()
  const first = await start(events, 'a', { leaseMs: 1_000 })
  await settled([first], [NAMES.length])
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant all on all tables in schema ${events.schema} to :role;
     grant all on all sequences in schema ${events.schema} to :role`,
  )
  const pool = db.newPool(asRole(db.url, role))
  const second = await start(events, 'b', { leaseMs: 1_000, pool })
  await settled([first, second], [3, 3])
  const seen = () => second.status().cluster?.nodes.find(({ name }) => name === 'a')
  await eventually(seen).toMatchObject({ isAlive: true, presence: 'unknown' })
  await events.append(5)
  await first.waitUntilProjected({ timeoutMs: 30_000 })
  await first.stop()
  await settled([second], [NAMES.length])
})
