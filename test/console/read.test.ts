import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type {
  AuditAnswer,
  DoctorAnswer,
  HistoryAnswer,
  LateAnswer,
  LetterAnswer,
  LetterGroupsAnswer,
  LettersAnswer,
  LiveMessage,
  NodesAnswer,
  Overview,
  ProjectionAnswer,
  SessionAnswer,
  SkipsAnswer,
} from '../../packages/console/src/protocol.ts'
import { brokenShop, healthyShop } from '../cli/broken-shop.ts'
import { openShop, quiet, type Shop, shopOfTest } from '../cli/rig.ts'
import { ownServer } from '../support/database.ts'
import { consoleOf, consoleOn, until } from './rig.ts'

// Transactions stay open there, which would hold up the tests of others.
let server: Awaited<ReturnType<typeof ownServer>>
let healthy: Shop
let broken: Shop
beforeAll(async () => {
  server = await ownServer()
  ;[healthy, broken] = await Promise.all([healthyShop(server.url), brokenShop(server.url)])
})
afterAll(async () => {
  await Promise.all([healthy.drop(), broken.drop()])
  await server.stop()
})

async function overviewOf(shop: Shop): Promise<Overview> {
  const { failure, overview } = await (await consoleOf(shop)).get<LiveMessage>('/api/overview')
  expect(failure).toBeNull()
  if (overview === null) throw new Error('there is no overview')
  return overview
}

describe('a healthy database', () => {
  test('has nothing that is wrong, and every projection with its position', async () => {
    const overview = await overviewOf(healthy)
    expect(overview).toMatchObject({ healthy: true, problems: [], letters: { open: 0, oldestAtMs: null } })
    expect(
      overview.projections.map(({ name, state, position, behind }) => [name, state, position, behind]),
    ).toEqual([
      ['orders', 'follows', '5', '0'],
      ['stock', 'follows', '5', '0'],
    ])
    expect(overview.marks).toMatchObject([
      { source: 'events', table: 'events', stands: false, head: '5', settled: '5', gaps: [], holders: [] },
    ])
  })

  test('is examined, and one projection shown with its shards', async () => {
    const { get, ask } = await consoleOf(healthy)
    const { findings, stores } = await get<DoctorAnswer>('/api/doctor')
    expect(findings.filter(({ severity }) => severity === 'problem')).toEqual([])
    expect(findings.some(({ about }) => about.includes('events'))).toBe(true)
    const packed = await ask('/api/doctor', { headers: { 'accept-encoding': 'gzip' } })
    expect(packed.headers['content-encoding']).toBe('gzip')
    expect(stores).toEqual([])
    const { shards, rows, audit } = await get<ProjectionAnswer>('/api/projection?projection=orders')
    expect(shards).toMatchObject([
      { name: 'orders', slots: { from: 0, to: 1023 }, desired: 'running', behind: '0' },
    ])
    expect({ rows: rows.length, audit }).toEqual({ rows: 1, audit: [] })
  })

  test('of what is asked for and is not there, it is said so', async () => {
    const { refused } = await consoleOf(healthy)
    const asked = [
      ['/api/projection?projection=none', 404, 'NO_SUCH_PROJECTION'],
      ['/api/projection', 400, 'BAD_QUERY'],
      ['/api/dead-letters/99', 404, 'NO_SUCH_LETTER'],
      ['/api/dead-letters?state=lost', 400, 'BAD_QUERY'],
      ['/api/dead-letters?limit=0', 400, 'BAD_QUERY'],
      ['/api/dead-letters?limit=501', 400, 'BAD_QUERY'],
      ['/api/audit?before=newest', 400, 'BAD_QUERY'],
      ['/api/late?source=none', 404, 'NO_SUCH_SOURCE'],
      ['/api/none', 404, 'NO_SUCH_PATH'],
      ['/none.js', 404, 'NO_SUCH_PATH'],
    ] as const
    for (const [path, status, code] of asked) expect(await refused(path)).toMatchObject({ status, code })
  })
})

describe('a broken database', () => {
  test('is told in the words of the terminal program, the worst first', async () => {
    const { problems, healthy: isHealthy } = await overviewOf(broken)
    expect(isHealthy).toBe(false)
    expect(problems.map(({ code, about }) => [code, about.projection])).toEqual([
      ['mark_stands', null],
      ['projection_fails', 'orders'],
      ['no_daemon', 'stock'],
      ['dead_letters', 'search'],
      ['paused', 'mails'],
    ])
    const { out } = await broken.tidemark(['status'])
    const told = out.split('\n').flatMap((line) => /^! (.*)$/.exec(line)?.[1] ?? [])
    const withoutTimes = (text: string): string => text.replaceAll(/\d+ (ms|s|min)\b/g, '<time>')
    expect(problems.map(({ what }) => withoutTimes(what))).toEqual(told.map(withoutTimes))
  })

  test('shows who holds the mark, and not what they have sent, unless that is allowed', async () => {
    const { marks } = await overviewOf(broken)
    expect(marks).toMatchObject([
      { stands: true, settled: '6', head: '9', gaps: [{ from: '7', to: '7' }], gapsCount: 1 },
    ])
    const [holder] = marks[0]?.holders ?? []
    expect(holder).toMatchObject({ applicationName: 'import-of-suppliers', lastStatement: null })
    expect(holder?.endedBy).toBe(`select pg_terminate_backend(${holder?.pid});`)
    const { get } = await consoleOf(broken, { showEventData: true })
    const { overview } = await get<LiveMessage>('/api/overview')
    expect(overview?.marks[0]?.holders[0]?.lastStatement).toContain('SupplierAdded')
  })

  test('lists dead letters in pages and by their filters, and groups them by their error', async () => {
    const { get } = await consoleOf(broken)
    const all = await get<LettersAnswer>('/api/dead-letters')
    expect(all.letters.map(({ firstPosition, eventTypes }) => [firstPosition, eventTypes])).toEqual([
      ['2', ['OrderPaid']],
      ['4', ['OrderCancelled']],
    ])
    expect(all.after).toBeNull()
    expect(all.counts).toMatchObject([{ projection: 'search', open: 2 }])
    const first = await get<LettersAnswer>('/api/dead-letters?limit=1')
    const second = await get<LettersAnswer>(`/api/dead-letters?limit=1&after=${first.after}`)
    expect([...first.letters, ...second.letters]).toEqual(all.letters)
    const error = 'TypeError: no amount in OrderPaid'
    for (const filter of ['type=OrderPaid', `error=${encodeURIComponent(error)}`]) {
      const { letters } = await get<LettersAnswer>(`/api/dead-letters?projection=search&version=1&${filter}`)
      expect(letters).toEqual(all.letters.slice(0, 1))
    }
    expect(await get<LettersAnswer>('/api/dead-letters?state=resolved')).toMatchObject({ letters: [] })
    const { groups, isWhole } = await get<LetterGroupsAnswer>('/api/dead-letters/groups')
    expect(isWhole).toBe(true)
    expect(groups.map(({ projection, error: of, count }) => [projection, of, count])).toEqual([
      ['search', error, 1],
      ['search', 'TypeError: no amount in OrderCancelled', 1],
    ])
  })

  test('shows the stack of a letter, and of its events nothing', async () => {
    const { get, refused } = await consoleOf(broken)
    const [letter] = (await get<LettersAnswer>('/api/dead-letters')).letters
    const shown = await get<LetterAnswer>(`/api/dead-letters/${letter?.id}`)
    expect(shown).toMatchObject({ letter, events: null, unreadable: null })
    expect(shown.error.stack).toContain('no amount in OrderPaid')
    expect(await refused(`/api/dead-letters/${letter?.id}?data=1`)).toMatchObject({
      status: 403,
      code: 'DATA_NOT_SHOWN',
    })
  })

  test('shows the events of a letter where that is allowed, as redact leaves them, and none where it throws', async () => {
    const open = await consoleOf(broken, { showEventData: true })
    const [letter] = (await open.get<LettersAnswer>('/api/dead-letters')).letters
    const path = `/api/dead-letters/${letter?.id}?data=1`
    expect((await open.get<LetterAnswer>(path)).events).toMatchObject([{ position: '2', type: 'OrderPaid' }])
    const redacting = await consoleOf(broken, { showEventData: true, redact: () => ({ type: 'hidden' }) })
    expect((await redacting.get<LetterAnswer>(path)).events).toEqual([{ type: 'hidden' }])
    const throwing = await consoleOf(broken, {
      showEventData: true,
      redact: (event) => {
        throw new Error(JSON.stringify(event))
      },
    })
    const shown = await throwing.get<LetterAnswer>(path)
    expect(shown.events).toBeNull()
    expect(shown.unreadable).toContain('redact')
    expect(JSON.stringify(shown.unreadable)).not.toContain('OrderPaid')
  })

  test('shows who has done what, in pages', async () => {
    const { get } = await consoleOf(broken)
    const { entries, before } = await get<AuditAnswer>('/api/audit?projection=mails')
    expect(entries).toMatchObject([
      { unit: 'mails', operation: 'pause', who: 'ann', why: 'the mail server is down', refused: null },
    ])
    expect(before).toBeNull()
    expect((await get<AuditAnswer>('/api/audit?limit=1')).before).toBe(entries[0]?.id)
    expect((await get<ProjectionAnswer>('/api/projection?projection=mails')).audit).toEqual(entries)
  })
})

test('skips and late events are listed with what has become of them', async () => {
  const shop = await shopOfTest()
  await shop.pool.query(`insert into events (type) select 'OrderPlaced' from generate_series(1, 5)`)
  const daemon = await shop.daemon([quiet('orders')])
  await daemon.waitUntilProjected()
  await daemon.stop()
  await shop.pool.query(`insert into tidemark.late_events (source, position, type, passed_as) values ('events', 4, 'OrderPaid', 'without_proof');
    insert into tidemark.late_event_units (projection, version, slot_from, slot_to, source, position) values ('orders', 1, 0, 1023, 'events', 4);
    insert into tidemark.skips (source, current, stored, count, held_by) values ('events', 5, 3, 1, '[]')`)
  const { get } = await consoleOf(shop)
  const { late, more } = await get<LateAnswer>('/api/late')
  expect(late).toMatchObject([
    { source: 'events', position: '4', type: 'OrderPaid', units: [{ unit: 'orders', state: 'open' }] },
  ])
  expect(more).toBe(false)
  expect((await get<LateAnswer>('/api/late?state=discarded')).late).toEqual([])
  expect((await get<LateAnswer>('/api/late?state=any&source=events&to=3')).late).toEqual([])
  const { skips } = await get<SkipsAnswer>('/api/skips')
  expect(skips).toMatchObject([{ from: '4', to: '4', count: '1', heldBy: [], thereNow: null }])
  const looked = await get<SkipsAnswer>('/api/skips?source=events')
  expect(looked.skips).toMatchObject([{ thereNow: [{ position: '4', type: 'OrderPlaced' }] }])
})

test('nodes are shown with what they have, and which unit has gone from which to which', async () => {
  const shop = await shopOfTest()
  await shop.pool.query(`insert into events (type) values ('OrderPlaced')`)
  const { get } = await consoleOf(shop)
  const first = await shop.daemon([quiet('orders')], { name: 'berlin-1' })
  await first.waitUntilProjected()
  await until(async () => {
    const { sources } = await get<NodesAnswer>('/api/nodes')
    expect(sources).toMatchObject([
      { source: 'events', nodes: [{ name: 'berlin-1', units: ['orders'] }], unowned: [] },
    ])
  })
  await shop.daemon([quiet('orders')], { name: 'berlin-2' })
  await first.stop()
  await until(async () => {
    const { moves } = await get<NodesAnswer>('/api/nodes')
    expect(moves.map(({ unit, to }) => [unit, to])[0]).toEqual(['orders', 'berlin-2'])
  })
  const { overview } = await get<LiveMessage>('/api/overview')
  expect(overview?.projections).toMatchObject([{ name: 'orders', owners: ['berlin-2'] }])
})

test('how fast a projection is and how long it takes yet is told after some looks, with the line of its lag', async () => {
  const shop = await shopOfTest()
  await shop.pool.query(`insert into events (type) select 'OrderPlaced' from generate_series(1, 100)`)
  const daemon = await shop.daemon([{ ...quiet('orders'), batchSize: 10 }])
  await daemon.waitUntilProjected()
  await daemon.stop()
  await shop.operations.pause({ projection: 'orders', who: 'ann', why: 'a test' })
  const stand = (position: bigint) =>
    shop.operations.moveTo({ projection: 'orders', position, who: 'ann', why: 'a test' })
  await stand(10n)
  const { get } = await consoleOf(shop)
  await get('/api/overview')
  await stand(20n)
  await until(async () => {
    const { overview } = await get<LiveMessage>('/api/overview')
    const [row] = overview?.projections ?? []
    expect(row).toMatchObject({ position: '20', behind: '80' })
    expect(row?.perSecond).toBeGreaterThan(0)
    expect(row?.leftMs).toBeGreaterThan(0)
  })
  const { atMs, marks, projections } = await get<HistoryAnswer>('/api/history')
  expect(projections[0]?.behind).toHaveLength(atMs.length)
  expect(projections[0]?.behind.slice(-1)).toEqual([80])
  expect(marks[0]?.head.at(-1)).toBe('100')
})

test('without tables, or rights, it says what is missing, and examines the database all the same', async () => {
  const shop = await openShop(server.url)
  onTestFinished(() => shop.drop())
  const { get } = await consoleOf(shop)
  const { overview, failure } = await get<LiveMessage>('/api/overview')
  expect(overview).toBeNull()
  expect(failure).toMatchObject({ code: 'TIDEMARK_POSTGRES_CONDITION' })
  expect((await get<DoctorAnswer>('/api/doctor')).findings.length).toBeGreaterThan(3)
  const role = `role_${shop.name}`
  await broken.pool.query(`create role ${role} login`)
  onTestFinished(async () => {
    await broken.pool.query(`drop role ${role}`)
  })
  const url = new URL(broken.url)
  url.username = role
  const pool = new Pool({ connectionString: url.href })
  onTestFinished(() => pool.end())
  const bare = await consoleOn(pool, { checkpoints: postgresCheckpoints({ pool }) })
  const told = await bare.get<LiveMessage>('/api/overview')
  expect(told.failure).toMatchObject({ code: '42501' })
  expect(await bare.refused('/api/audit')).toMatchObject({ status: 403, code: '42501' })
})

test('the session says who looks, what they may do, and what the database is called', async () => {
  const { get } = await consoleOf(healthy, { called: 'shop at staging' })
  expect(await get<SessionAnswer>('/api/session')).toMatchObject({
    who: 'ann',
    actions: false,
    showEventData: false,
    called: 'shop at staging',
    lookEveryMs: 100,
  })
  const acting = await consoleOf(healthy, { actions: true })
  expect(await acting.get<SessionAnswer>('/api/session')).toMatchObject({ actions: true })
  const partly = await consoleOf(healthy, {
    actions: true,
    authorize: () => ({ who: 'bob', actions: false }),
  })
  expect(await partly.get<SessionAnswer>('/api/session')).toMatchObject({ who: 'bob', actions: false })
})
