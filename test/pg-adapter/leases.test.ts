import { type Claim, type Leases, type NodeReport, unitKey, wholeUnit } from '@tidemark/core/adapter'
import type { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import {
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
} from '../support/event-table.ts'
import { never } from '../support/never.ts'

const db = fileDatabase()

const UNITS = ['orders', 'stock', 'mails'].map((name) => wholeUnit(name))
const LONG_MS = 3_600_000

const report = (id: string): NodeReport => ({
  id,
  name: id,
  source: 'events',
  capacity: 1,
  units: UNITS.map(unitKey),
  unable: [],
  isLeaving: false,
})

async function prepared(): Promise<EventTable> {
  const events = await db.events()
  const store = checkpointsBeside(events, db.pool)
  await store.prepare?.(never())
  for (const unit of UNITS) await store.open(unit, { source: 'events', head: undefined }, never())
  return events
}

function leasesOn(events: EventTable, pool: Pool = db.pool): Leases {
  const { leases } = checkpointsBeside(events, pool)
  if (leases === undefined) throw new Error('Postgres has leases')
  return leases
}

const renew = (leases: Leases, id: string, leaseMs = LONG_MS) =>
  leases.renew({ node: report(id), leaseMs, signal: never() })

const claim = (leases: Leases, node: string, claims: readonly Partial<Claim>[]) =>
  leases.claim({
    node,
    claims: claims.map((each) => ({ unit: wholeUnit('orders'), fence: 0n, gone: undefined, ...each })),
    signal: never(),
  })

/** Kept until the test ends. */
async function present(leases: Leases, id: string) {
  const over = new AbortController()
  onTestFinished(() => over.abort())
  const kept = await leases.presence?.({ node: id, source: 'events', onHint: () => {}, signal: over.signal })
  return { kept, end: () => over.abort(new Error('the process ends')) }
}

const presenceSeenBy = async (leases: Leases, reader: string, id: string) =>
  (await renew(leases, reader)).nodes.find((node) => node.id === id)?.presence

test('a node whose backend the server has ended is seen to be gone, and is told itself', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  await renew(leases, 'first')
  const { kept } = await present(leases, 'first')
  expect(await presenceSeenBy(leases, 'second', 'first')).toEqual({ is: 'here' })
  await db.pool.query(
    `select pg_terminate_backend(presence_pid) from ${events.schema}.nodes where id = 'first'`,
  )
  await kept?.ended
  await eventually(() => presenceSeenBy(leases, 'second', 'first')).toMatchObject({ is: 'gone' })
  await present(leases, 'first')
  expect(await presenceSeenBy(leases, 'second', 'first')).toEqual({ is: 'here' })
})

test('to a role that is shown no start of it, a backend is unknown, and gone only when it has ended: until then its node is alive', async () => {
  const events = await prepared()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant all on all tables in schema ${events.schema} to :role`,
  )
  const own = leasesOn(events)
  await renew(own, 'first')
  const { end } = await present(own, 'first')
  const [lease] = await claim(own, 'first', [{}])
  const others = leasesOn(events, db.newPool(asRole(db.url, role)))
  expect(await presenceSeenBy(others, 'second', 'first')).toEqual({ is: 'unknown' })
  const { rows } = await db.pool.query(
    `select presence_pid || '/' || (extract(epoch from presence_start) * 1000000)::bigint as which
     from ${events.schema}.nodes where id = 'first'`,
  )
  const gone = { fence: lease?.fence ?? 0n, gone: String(rows[0]?.which) }
  expect(await claim(others, 'second', [gone])).toEqual([])
  end()
  await eventually(() => presenceSeenBy(others, 'second', 'first')).toMatchObject({ is: 'gone' })
  expect(await claim(others, 'second', [gone])).toHaveLength(1)
})

test('a renewal that is about to be committed counts before a claim', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  await renew(leases, 'second')
  await renew(leases, 'first')
  const [lease] = await claim(leases, 'first', [{}])
  await renew(leases, 'first', 1)
  await eventually(async () => {
    const { nodes } = await renew(leases, 'second')
    return nodes.find(({ id }) => id === 'first')?.isAlive
  }).toBe(false)
  const renewing = await db.session()
  await renewing.query('begin')
  await renewing.query(
    `update ${events.schema}.nodes set expires_at = clock_timestamp() + interval '1 hour' where id = 'first'`,
  )
  let claimed: unknown
  const claiming = claim(leases, 'second', [{ fence: lease?.fence ?? 0n }]).then((found) => {
    claimed = found
  })
  await eventually(async () => {
    const { rows } = await db.pool.query(
      `select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock' and query like '%${events.schema}%'`,
    )
    return rows[0]?.waiting
  }).toBe(1)
  expect(claimed).toBeUndefined()
  await renewing.query('commit')
  await claiming
  expect(claimed).toEqual([])
})

test('a node that joins at the moment in which its name is drained is drained too', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  const join = (id: string) =>
    leases.renew({ node: { ...report(id), name: 'a' }, leaseMs: LONG_MS, signal: never() })
  const waiting = async () => {
    const { rows } = await db.pool.query(
      `select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock' and query like '%${events.schema}%'`,
    )
    return rows[0]?.waiting
  }
  await join('before')
  const slow = await db.session()
  await slow.query(`begin; select from ${events.schema}.nodes for update`)
  const wanted = { source: undefined, node: 'a', desired: 'draining', who: 'ann', why: 'a drill' } as const
  const drained = leases.control.decide(wanted, never())
  // It has looked which nodes there are, and waits for the row of one.
  await eventually(waiting).toBe(1)
  let isJoined = false
  const joined = join('after').then(() => {
    isJoined = true
  })
  await eventually(async () => isJoined || (await waiting()) === 2).toBe(true)
  await slow.query('commit')
  await Promise.all([drained, joined])
  const listed = await leases.control.list(undefined, never())
  expect(listed.map(({ id, desired }) => [id, desired]).toSorted()).toEqual([
    ['after', 'draining'],
    ['before', 'draining'],
  ])
})

test('whoever is present is told when another comes, gives something back, or leaves; not what itself does, nor those of other sources', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  const over = new AbortController()
  onTestFinished(() => over.abort())
  const hints: string[] = []
  const presentAs = async (node: string, source = 'events') => {
    await leases.renew({ node: { ...report(node), source }, leaseMs: LONG_MS, signal: never() })
    await leases.presence?.({ node, source, onHint: () => hints.push(node), signal: over.signal })
  }
  await presentAs('first')
  await presentAs('elsewhere', 'other events')
  expect(hints).toEqual([])
  await presentAs('second')
  await eventually(() => hints).toEqual(['first'])
  const claimed = await claim(leases, 'second', [{}])
  await leases.release({ node: 'second', leases: claimed, signal: never() })
  await eventually(() => hints).toEqual(['first', 'first'])
  await leases.leave('second', never())
  await eventually(() => hints).toEqual(['first', 'first', 'first'])
})

test('a wait for somebody who is gone ends when one is, and tells all; else, and once others have what that had, by itself', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  await renew(leases, 'first')
  await renew(leases, 'second')
  const { end } = await present(leases, 'first')
  const [lease] = await claim(leases, 'first', [{}])
  let hints = 0
  const over = new AbortController()
  onTestFinished(() => over.abort())
  await leases.presence?.({ node: 'second', source: 'events', onHint: () => hints++, signal: over.signal })
  expect(await leases.missing?.('events', never())).toBe(false)
  const missing = leases.missing?.('events', never())
  end()
  expect(await missing).toBe(true)
  await eventually(() => hints).toBeGreaterThan(0)
  expect(await leases.missing?.('events', never())).toBe(true)
  const seen = await presenceSeenBy(leases, 'second', 'first')
  const gone = seen?.is === 'gone' ? seen.which : undefined
  expect(await claim(leases, 'second', [{ fence: lease?.fence ?? 0n, gone }])).toHaveLength(1)
  expect(await leases.missing?.('events', never())).toBe(false)
})

test('what a node asks goes over the connection that it is present by; a connection on which something failed is made anew', async () => {
  const events = await prepared()
  const pool = db.newPool({ max: 4 })
  const leases = leasesOn(events, pool)
  await renew(leases, 'first')
  const { kept } = await present(leases, 'first')
  const handlers = [await pool.connect(), await pool.connect(), await pool.connect()]
  expect((await renew(leases, 'first')).nodes).toHaveLength(1)
  const over = new AbortController()
  over.abort(new Error('too late'))
  const late = leases.renew({ node: report('first'), leaseMs: LONG_MS, signal: over.signal })
  await expect(late).rejects.toThrow('too late')
  expect((await renew(leases, 'first')).nodes).toHaveLength(1)
  const failing = leases.renew({
    node: { ...report('first'), units: ['\0'] },
    leaseMs: LONG_MS,
    signal: never(),
  })
  await expect(failing).rejects.toThrow()
  await kept?.ended
  for (const client of handlers) client.release()
})

test('renewals change one row in place, and none of any unit', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  for (const id of ['first', 'second', 'third']) await renew(leases, id)
  await claim(
    leases,
    'first',
    UNITS.map((unit) => ({ unit })),
  )
  const client = await db.session()
  const statistics = async (table: string) => {
    const { rows } = await client.query(
      `select n_tup_upd::int as updates, n_tup_hot_upd::int as hot, pg_relation_size(relid)::int as bytes
       from pg_stat_user_tables where schemaname = $1 and relname = $2`,
      [events.schema, table],
    )
    return rows[0]
  }
  for (let round = 0; round < 120; round++) {
    await renew(leases, ['first', 'second', 'third'][round % 3] ?? '')
  }
  // Each backend tells its figures with a statement a second later, and else when it was idle for ten.
  const updates = async () => {
    await Promise.all(
      Array.from({ length: db.pool.totalCount }, () => db.pool.query('select pg_sleep(0.01)')),
    )
    return (await statistics('nodes')).updates
  }
  await eventually(updates).toBe(120)
  const nodes = await statistics('nodes')
  // A snapshot of another session may keep a full page from being cleaned for a moment.
  expect(nodes.hot).toBeGreaterThan(100)
  expect(nodes.bytes).toBeLessThanOrEqual(8 * 8_192)
  expect((await statistics('checkpoints')).updates).toBe(UNITS.length)
})

test('rows of nodes that have been gone for a day are deleted by one that joins, where its role may; no renewal after that looks for them', async () => {
  const events = await prepared()
  const goneFor = (id: string, hours: number) =>
    events.run(
      `update nodes set expires_at = clock_timestamp() - interval '${hours} hours' where id = '${id}'`,
    )
  const stored = async () => {
    const { rows } = await db.pool.query(`select id from ${events.schema}.nodes order by id`)
    return rows.map(({ id }) => id)
  }
  const leases = leasesOn(events)
  for (const id of ['first', 'second', 'third']) await renew(leases, id)
  await goneFor('first', 25)
  await goneFor('second', 23)
  await renew(leases, 'third')
  expect(await stored()).toEqual(['first', 'second', 'third'])
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant select, insert, update on all tables in schema ${events.schema} to :role`,
  )
  await renew(leasesOn(events, db.newPool(asRole(db.url, role))), 'fourth')
  expect(await stored()).toEqual(['first', 'fourth', 'second', 'third'])
  await renew(leases, 'fifth')
  expect(await stored()).toEqual(['fifth', 'fourth', 'second', 'third'])
})

test('several units are claimed, given back and left by one call each', async () => {
  const events = await prepared()
  const leases = leasesOn(events)
  await renew(leases, 'first')
  const claimed = await claim(
    leases,
    'first',
    [...UNITS, UNITS[0] ?? expect.fail(), wholeUnit('has no row')].map((unit) => ({ unit })),
  )
  expect(claimed.map(({ unit }) => unit.projection).toSorted()).toEqual(['mails', 'orders', 'stock'])
  const owners = async () => (await renew(leases, 'second')).leases.map(({ owner }) => owner).toSorted()
  expect(await owners()).toEqual(['first', 'first', 'first'])
  await leases.release({ node: 'first', leases: claimed.slice(0, 1), signal: never() })
  expect(await owners()).toEqual(['first', 'first', undefined])
  await leases.leave('first', never())
  expect(await owners()).toEqual([undefined, undefined, undefined])
})
