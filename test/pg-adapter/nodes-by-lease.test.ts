import type { Clock, Daemon, DaemonOptions, LeasedNodeOptions, Projection } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, onTestFinished, test, vi } from 'vitest'
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

interface Starting
  extends LeasedNodeOptions,
    Pick<DaemonOptions<bigint, PostgresRow, PgClient>, 'logger' | 'drainTimeoutMs'> {
  readonly pool?: Pool
  readonly handlersPool?: Pool
  readonly clock?: Clock
  readonly handle?: (tx: PgClient, projection: string) => Promise<void>
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
    logger,
    drainTimeoutMs,
    ...nodes
  }: Starting = {},
): Promise<Daemon<bigint>> {
  return startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, handlersPool),
    nodes: { name, ...nodes },
    clock,
    ...(logger === undefined ? {} : { logger }),
    ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }),
    projections: NAMES.map((projection): Projection<PostgresRow, PgClient> => {
      const recording = recorder(events, projection)
      return {
        ...recording,
        handle: async (page, context) => {
          await recording.handle(page, context)
          await context.tx.query(`insert into ${events.schema}.worked values ($1, $2)`, [projection, name])
          await handle(context.tx, projection)
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

test('a node that an operator drains from another process hands everything over long before its next renewal, and takes part again when it is opened', async () => {
  const events = await table()
  const leaseMs = 600_000
  const daemons = [await start(events, 'a', { leaseMs }), await start(events, 'b', { leaseMs })]
  await settled(daemons, [3, 3])
  await eventually(() => daemons.map((daemon) => daemon.status().cluster?.seenBy)).toEqual([
    'presence',
    'presence',
  ])
  const operations = createOperations({ checkpoints: checkpointsBeside(events, db.newPool()) })
  const by = { node: 'a', who: 'ann', why: 'its machine is replaced' }
  expect(await operations.nodes.drain(by)).toMatchObject({ outcome: 'done', entries: [{ who: 'ann' }] })
  await settled(daemons, [0, 6])
  await events.append(5)
  for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const listed = await operations.nodes.list()
  expect(listed.map(({ name, desired, units }) => [name, desired, units.length])).toEqual([
    ['a', 'draining', 0],
    ['b', 'open', 6],
  ])
  expect(await operations.nodes.open(by)).toMatchObject({ outcome: 'done' })
  await settled(daemons, [3, 3])
  await events.append(5)
  for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  for (const positions of await handled(events)) expect(positions).toEqual(numbers(10))
})

test('clocks that are an hour off, and step back and forth, move nothing', async () => {
  const events = await table()
  // What a node reckons with never goes back, and makes a leap where the machine has slept. The time of day is set as somebody likes.
  let leapMs = 0
  let setMs = 0
  const timeOfDay = Date.now
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => timeOfDay() + setMs)
  onTestFinished(() => spy.mockRestore())
  const off = (ms: number): Clock => ({
    nowMs: () => systemClock.nowMs() + ms + leapMs,
    sleep: (...args) => systemClock.sleep(...args),
  })
  const daemons = [
    await start(events, 'a', { clock: off(3_600_000), leaseMs: 5_000 }),
    await start(events, 'b', { clock: off(-3_600_000), leaseMs: 5_000 }),
  ]
  await settled(daemons, [3, 3])
  const before = await fences(events)
  for (const hours of [1, -1, 0]) {
    leapMs += 3_600_000
    setMs = hours * 3_600_000
    await renewed(events)
  }
  await settled(daemons, [3, 3])
  expect(await fences(events)).toEqual(before)
})

async function fences(events: EventTable): Promise<readonly { projection: string; fence: bigint }[]> {
  const { rows } = await db.pool.query(
    `select projection, fence::text from ${events.schema}.checkpoints order by projection`,
  )
  return rows.map(({ projection, fence }) => ({ projection, fence: BigInt(fence) }))
}

/** Resolves when each node that is there has renewed its lease once more. */
async function renewed(events: EventTable): Promise<void> {
  const read = async () => {
    const { rows } = await db.pool.query(
      `select id, (extract(epoch from expires_at) * 1000000)::bigint as until from ${events.schema}.nodes where not has_left`,
    )
    return new Map(rows.map(({ id, until }) => [String(id), BigInt(until)]))
  }
  const before = await read()
  await eventually(async () => {
    const now = await read()
    return [...before].every(([id, until]) => (now.get(id) ?? 0n) > until)
  }).toBe(true)
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
  // `seenBy` says that a node has a connection of its own; `presence`, what another one is shown of it.
  await eventually(() => first.status().cluster?.seenBy).toBe('presence')
  await eventually(seen).toMatchObject({ isAlive: true, presence: 'unknown' })
  await events.append(5)
  await first.waitUntilProjected({ timeoutMs: 30_000 })
  await first.stop()
  await settled([second], [NAMES.length])
})

test('a handler that heeds no signal keeps its units from all others until its transaction has ended, also while its node stops', async () => {
  const events = await table()
  const holding = gate()
  onTestFinished(() => holding.open())
  const transactions = new Map<string, string>()
  const late: unknown[] = []
  const a = await start(events, 'a', {
    leaseMs: 4_000,
    drainTimeoutMs: 300,
    handle: async (tx, projection) => {
      const { rows } = await tx.query('select pg_current_xact_id()::text as id')
      transactions.set(projection, String(rows[0]?.id))
      await holding.promise
      late.push(await tx.query('select 1').catch((error: unknown) => error))
    },
  })
  await settled([a], [NAMES.length])
  await events.append(1)
  await eventually(() => transactions.size).toBe(NAMES.length)
  const found: unknown[] = []
  const b = await start(events, 'b', {
    leaseMs: 4_000,
    handle: async (tx, projection) => {
      const { rows } = await tx.query('select pg_xact_status($1::text::xid8) as status', [
        transactions.get(projection),
      ])
      found.push(rows[0]?.status)
    },
  })
  await a.stop()
  await b.waitUntilProjected({ timeoutMs: 30_000 })
  expect(found, 'of its transactions, as others begin').toEqual(NAMES.map(() => 'aborted'))
  holding.open()
  await eventually(() => late).toEqual(NAMES.map(() => expect.any(Error)))
  for (const positions of await handled(events)) expect(positions).toEqual([1n])
})

test('a node loses each of its connections in turn: nothing is lost or handled twice, and no unit goes round', async () => {
  const events = await table()
  const of = `a of ${events.schema}`
  // Long enough that no lease ends while the machine is busy.
  const leaseMs = 60_000
  const daemons = [
    await start(events, 'a', { leaseMs, pool: db.newPool({ application_name: of }) }),
    await start(events, 'b', { leaseMs }),
  ]
  await settled(daemons, [3, 3])
  await eventuallyPid(events, 'a')
  const before = await fences(events)
  const { rows: connections } = await db.pool.query(
    'select pid from pg_stat_activity where application_name = $1',
    [of],
  )
  let presencesLost = 0
  for (const { pid } of connections) {
    if (pid === (await presenceOf(events, 'a'))) presencesLost++
    await db.pool.query('select pg_terminate_backend($1)', [pid])
    await events.append(1)
    for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  }
  expect(connections.length).toBeGreaterThan(2)
  // Another one of the pool may have taken its place, and been ended in its turn.
  expect(presencesLost).toBeGreaterThan(0)
  for (const positions of await handled(events)) expect(positions).toEqual(numbers(connections.length))
  await settled(daemons, [3, 3])
  for (const [index, { projection, fence }] of (await fences(events)).entries()) {
    // There and back, where the machine is so busy that the other node has looked twice before there was another connection.
    expect(fence - (before[index]?.fence ?? 0n), projection).toBeLessThanOrEqual(2n * BigInt(presencesLost))
  }
})

test('handlers that hold both connections of a pool move nothing: the log says why, and work goes on once they have ended', async () => {
  const events = await table()
  const holding = gate()
  onTestFinished(() => holding.open())
  const pool = db.newPool({ max: 2 })
  const lines: string[] = []
  const say = (line: string) => lines.push(line)
  const leaseMs = 2_000
  const a = await start(events, 'a', {
    leaseMs,
    pool: db.newPool(),
    handlersPool: pool,
    logger: { info: say, warn: say, error: say },
    handle: () => holding.promise,
  })
  await settled([a], [NAMES.length])
  const before = await fences(events)
  await events.append(1)
  await eventually(() => a.status().cluster?.renewedForMs).toBeGreaterThan(2 * leaseMs)
  expect(lines).toContainEqual(
    expect.stringMatching(/cannot be (renewed|claimed): .*no answer within a quarter/),
  )
  expect(lines).toContainEqual(
    expect.stringMatching(/stops work at .*: no renewal of its lease of 2000 ms was answered in time/),
  )
  expect(a.status().cluster?.seenBy).toBe('expiry')
  holding.open()
  await a.waitUntilProjected({ timeoutMs: 30_000 })
  for (const positions of await handled(events)) expect(positions).toEqual([1n])
  expect(await fences(events)).toEqual(before)
})
