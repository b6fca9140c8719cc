import type { Daemon, Projection } from '@tidemark/core'
import { createDaemon } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, test } from 'vitest'
import {
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
const BY = { who: 'ann', why: 'the writers are mended' }

type Recorder = Projection<PostgresRow, PgClient>

const sourceOf = (events: EventTable) =>
  postgresEvents({
    pool: db.pool,
    table: events.name,
    eventType: 'type',
    highWater: { mode: 'stale-threshold', thresholdMs: 50 },
  })

const operator = (events: EventTable): Operations<bigint> =>
  createOperations({ checkpoints: checkpointsBeside(events, db.newPool()), source: sourceOf(events) })

const node = (events: EventTable, projection: Partial<Recorder> = {}) =>
  startDaemon({
    source: sourceOf(events),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all', projection)],
  })

/** So many events were passed, and are there now. */
async function missed(events: EventTable, count: number, projection: Partial<Recorder> = {}) {
  await events.append(1)
  const daemon = await node(events, projection)
  await daemon.waitUntilProjected()
  await missMore(events, daemon, count)
  return daemon
}

/** So many events of a transaction that is open, and one above them that is handled before they are committed. */
async function missMore(events: EventTable, daemon: Daemon<bigint>, count: number) {
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(`insert into ${events.name} (type) select 'late' from generate_series(1, $1)`, [count])
  await daemon.waitUntilProjected({ upTo: await events.append(1) })
  await writer.query('commit')
}

const newEvents = async () => {
  const events = await db.events()
  await events.run(HANDLED)
  return events
}

const handled = async (events: EventTable): Promise<bigint[]> => await handledBy(db.pool, events, 'all')
const sorted = async (events: EventTable): Promise<bigint[]> =>
  [...(await handled(events))].sort((a, b) => Number(a - b))
const upTo = (last: number): bigint[] => Array.from({ length: last }, (_, n) => BigInt(n + 1))

test('late events are handed to onLateEvent by themselves, in one transaction with their closing; the checkpoint stays', async () => {
  const events = await newEvents()
  const given: bigint[] = []
  const record = recorder(events, 'all').handle
  const daemon = await missed(events, 3, {
    onLateEvent: async (late, context) => {
      given.push(...late.map(({ position }) => position as bigint))
      await record(late as never, context)
    },
  })
  await eventually(() => sorted(events)).toEqual(upTo(5))
  expect(given).toEqual([2n, 3n, 4n])
  expect(daemon.status().projections[0]).toMatchObject({ position: 5n, state: 'live' })
  await eventually(async () => (await operator(events).lateEvents({ state: 'on_late_event' })).length).toBe(3)
})

test('one that fails stays open and says so; the others, and what is not late, do not wait for it', async () => {
  const events = await newEvents()
  let isMended = false
  const record = recorder(events, 'all').handle
  await missed(events, 3, {
    onLateEvent: async (late, context) => {
      if (!isMended && late.some(({ position }) => position === 3n)) throw new Error('cannot be late')
      await record(late as never, context)
    },
  })
  await eventually(() => sorted(events)).toEqual([1n, 2n, 4n, 5n])
  await events.append()
  await eventually(async () => (await handled(events)).at(-1)).toBe(6n)
  await eventually(() => operator(events).lateEvents({ state: 'open' })).toMatchObject([
    { position: '3', units: [{ state: 'open', error: 'cannot be late', failures: expect.any(Number) }] },
  ])
  isMended = true
  await eventually(() => sorted(events)).toEqual(upTo(6))
})

test('without onLateEvent they stay open until an operator has them handled; asked twice, each is handled once', async () => {
  const events = await newEvents()
  await missed(events, 250)
  await eventually(async () => (await operator(events).lateEvents({ limit: 1_000 })).length).toBe(250)
  expect(await handled(events)).toEqual([1n, 252n])
  const request = { from: 1n, to: 1_000n, ...BY }
  const asked = await Promise.all([operator(events).reprocess(request), operator(events).reprocess(request)])
  expect(Math.max(...asked)).toBe(250)
  expect(await sorted(events)).toEqual(upTo(252))
  expect(await operator(events).reprocess(request)).toBe(0)
  const [late] = await operator(events).lateEvents({ to: 2n })
  expect(late?.units).toMatchObject([{ state: 'reprocessed', decision: BY }])
})

test('what is asked for while no daemon runs is handled by the next, and who waits too short is told', async () => {
  const events = await newEvents()
  const daemon = await missed(events, 1)
  await eventually(async () => (await operator(events).lateEvents()).length).toBe(1)
  await daemon.stop()
  const waiting = operator(events).reprocess({ from: 2n, to: 2n, projections: ['all'], ...BY, timeoutMs: 1 })
  await expect(waiting).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
    message: expect.stringMatching(/^1 late events are still open after 1 ms\. They are asked for/),
  })
  await node(events)
  await eventually(() => sorted(events)).toEqual(upTo(3))
})

describe('what an operator decides about late events is in the audit, once,', () => {
  const RANGE = { from: 1n, to: 9n, ...BY }
  const cases: Readonly<Record<string, (operations: Operations<bigint>) => Promise<number>>> = {
    reprocess: (operations) => operations.reprocess({ ...RANGE, timeoutMs: 1 }),
    discard_late_events: (operations) => operations.discardLateEvents(RANGE),
  }
  const AFTER = { reprocess: { open: 3, asked: 3 }, discard_late_events: { open: 0, asked: 0 } }

  /** Three are open, and no daemon runs. */
  async function open() {
    const events = await newEvents()
    const daemon = await missed(events, 3)
    await eventually(async () => (await operator(events).lateEvents({ state: 'open' })).length).toBe(3)
    await daemon.stop()
    return events
  }

  test.each(Object.entries(cases))('asked by ten callers at once: %s', async (name, ask) => {
    const events = await open()
    const operations = operator(events)
    await Promise.all(Array.from({ length: 10 }, () => ask(operations).catch(() => {})))
    const late = { from: '1', to: '9' }
    expect(await operations.audit()).toMatchObject([
      {
        ...BY,
        operation: name,
        unit: { projection: 'all', version: 1 },
        before: { position: '5', lateEvents: { ...late, open: 3, asked: 0 } },
        after: { position: '5', lateEvents: { ...late, ...AFTER[name as keyof typeof AFTER] } },
      },
    ])
  })

  test.each(Object.entries(cases))('or nothing is decided: %s', async (_, ask) => {
    const events = await open()
    await events.run('alter table audit rename to audit_away')
    await expect(ask(operator(events))).rejects.toMatchObject({ code: 'TIDEMARK_POSTGRES_CONDITION' })
    await events.run('alter table audit_away rename to audit')
    expect(await operator(events).lateEvents({ state: 'open' })).toMatchObject(
      Array(3).fill({ units: [{ state: 'open', decision: undefined }] }),
    )
    expect(await operator(events).audit()).toEqual([])
  })
})

test('onLateEvent is refused where no late event is ever found, or nobody keeps it', async () => {
  const events = await newEvents()
  const projections = [{ name: 'all', handle: () => {}, onLateEvent: () => {} }]
  const checkpoints = checkpointsBeside(events, db.pool)
  const proven = postgresEvents({ pool: db.pool, table: events.name })
  expect(() => createDaemon({ source: proven, checkpoints, projections })).toThrow(
    /^projections\[0\]\.onLateEvent: expected a source that passes positions without proof/,
  )
  const { lateEvents: _, ...bare } = inMemoryCheckpoints()
  const withoutLedger = Object.assign(Object.create(inMemoryCheckpoints()), bare, { lateEvents: undefined })
  expect(() => createDaemon({ source: sourceOf(events), checkpoints: withoutLedger, projections })).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_UNSUPPORTED_BY_STORE', missing: 'lateEvents' }),
  )
})

test('one that an operator has asked for and that fails keeps no other one from onLateEvent', async () => {
  const events = await newEvents()
  const record = recorder(events, 'all').handle
  const handle: Recorder['handle'] = async (page, context) => {
    if (page.some(({ position }) => position === 2n)) throw new Error('fails here too')
    await record(page as never, context)
  }
  const daemon = await missed(events, 1, { handle, onLateEvent: handle })
  const failures = async () =>
    (await operator(events).lateEvents({ to: 2n }))[0]?.units.reduce((sum, of) => sum + of.failures, 0)
  await eventually(failures).toBeGreaterThan(0)
  const waiting = operator(events).reprocess({ from: 2n, to: 2n, ...BY, timeoutMs: 1 })
  await expect(waiting).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_TIMEOUT' })
  await missMore(events, daemon, 1)
  await eventually(() => sorted(events)).toEqual([1n, 3n, 4n, 5n])
})

test('what a handler of late events throws may hold what Postgres cannot store', async () => {
  const events = await newEvents()
  const daemon = await missed(events, 1, {
    onLateEvent: () => {
      throw new Error(`no such\0customer ${'x'.repeat(5_000)}`)
    },
  })
  await eventually(() => operator(events).lateEvents()).toMatchObject([
    { units: [{ state: 'open', error: expect.stringMatching(/^no suchcustomer x{1984}$/) }] },
  ])
  expect(daemon.status().projections[0]).toMatchObject({ state: 'live', failure: undefined })
})

test('those of a projection that is retired or forgotten are not waited for', async () => {
  const events = await newEvents()
  const daemon = await missed(events, 1)
  await eventually(async () => (await operator(events).lateEvents({ state: 'open' })).length).toBe(1)
  await daemon.stop()
  await operator(events).pause({ projection: 'all', ...BY })
  // Another version would have to become the live one first.
  await db.pool.query(`update ${events.schema}.checkpoints set role = 'retired'`)
  expect(await operator(events).reprocess({ from: 1n, to: 9n, ...BY })).toBe(0)
  await operator(events).forget({ projection: 'all', ...BY })
  expect(await operator(events).reprocess({ from: 1n, to: 9n, ...BY })).toBe(0)
  expect(await operator(events).discardLateEvents({ from: 1n, to: 9n, ...BY })).toBe(0)
})

test('a projection that was moved back is given late events in their place, and once, also those that were asked for', async () => {
  const events = await newEvents()
  const daemon = await missed(events, 3)
  await eventually(async () => (await operator(events).lateEvents({ state: 'open' })).length).toBe(3)
  await daemon.stop()
  const waiting = operator(events).reprocess({ from: 2n, to: 4n, ...BY, timeoutMs: 1 })
  await expect(waiting).rejects.toMatchObject({ code: 'TIDEMARK_WAIT_TIMEOUT' })
  await operator(events).pause({ projection: 'all', ...BY })
  await operator(events).moveTo({ projection: 'all', position: 1n, ...BY })
  await operator(events).resume({ projection: 'all', ...BY })
  await db.pool.query(`delete from ${events.schema}.handled where position > 1`)
  const record = recorder(events, 'all').handle
  const next = await node(events, {
    batchSize: 1,
    handle: async (page, context) => {
      // So that the daemon has looked what is asked for before it has passed them.
      if (page.some(({ position }) => position === 2n))
        await new Promise((resolve) => setTimeout(resolve, 2_500))
      await record(page as never, context)
    },
  })
  await next.waitUntilProjected()
  expect(await handled(events)).toEqual(upTo(5))
  expect((await operator(events).lateEvents()).map(({ units }) => units[0]?.state)).toEqual([
    'in_order',
    'in_order',
    'in_order',
  ])
})
