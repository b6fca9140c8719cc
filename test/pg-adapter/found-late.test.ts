import type { Projection } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
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

const newEvents = async () => {
  const events = await db.events()
  await events.run(HANDLED)
  return events
}

const sourceOf = (events: EventTable, window = {}) =>
  postgresEvents({
    pool: db.pool,
    table: events.name,
    eventType: 'type',
    highWater: { mode: 'stale-threshold', thresholdMs: 100, ...window },
  })

interface Node {
  readonly projections?: readonly Projection<PostgresRow, PgClient>[]
  readonly window?: { readonly lateEventWindowMs?: number }
}

async function node(events: EventTable, { projections, window = {} }: Node = {}) {
  const counted: [string, string[]][] = []
  const daemon = await startDaemon({
    source: sourceOf(events, window),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: projections ?? [recorder(events, 'all')],
    telemetry: {
      lateEvents: ({ projection, events: late }) =>
        counted.push([projection, late.map(({ position }) => position)]),
    },
  })
  return { daemon, counted }
}

const operator = (events: EventTable): Operations<bigint> =>
  createOperations({
    checkpoints: checkpointsBeside(events, db.newPool()),
    source: sourceOf(events),
  })

/** A transaction that has taken the next number and stays open. */
async function slowWriter(events: EventTable, type = 'happened') {
  const writer = await db.session({ application_name: 'the slow one' })
  await writer.query('begin')
  await writer.query(`insert into ${events.name} (type) values ($1)`, [type])
  return writer
}

/** 1, 2 and 4, 5 are handled; 3 was passed, and its writer is open. */
async function passed(events: EventTable, options: Node = {}, type?: string) {
  await events.append(2)
  const started = await node(events, options)
  await started.daemon.waitUntilProjected()
  const writer = await slowWriter(events, type)
  await events.append(2)
  await started.daemon.waitUntilProjected({ upTo: 5n })
  return { ...started, writer }
}

const statesOf = async (events: EventTable): Promise<Record<string, string[]>> =>
  Object.fromEntries(
    (await operator(events).lateEvents()).map(({ position, units }) => [
      position,
      units.map(({ unit, state }) => `${unit.projection} ${state}`),
    ]),
  )

test('a skip says which positions, when, who held them, who has passed them, and whether an event is there by now', async () => {
  const events = await newEvents()
  const { writer } = await passed(events)
  const before = await operator(events).skips()
  expect(before).toMatchObject([
    {
      source: events.name,
      from: '3',
      to: '3',
      count: 1n,
      // And, perhaps, a batch of the daemon itself.
      heldBy: expect.arrayContaining([
        expect.objectContaining({
          applicationName: 'the slow one',
          startedAt: expect.any(Date),
          pid: expect.any(Number),
        }),
      ]),
      passedBy: [{ unit: { projection: 'all', version: 1 }, reason: 'stale_high_water_mark' }],
      late: [],
      thereNow: [],
    },
  ])
  expect(Math.abs((before[0]?.recordedAtMs ?? 0) - Date.now())).toBeLessThan(60_000)
  await writer.query('commit')
  await eventually(async () => (await operator(events).skips({ from: 3n, to: 3n }))[0]).toMatchObject({
    late: [{ position: '3', type: 'happened' }],
    thereNow: [{ position: '3', type: 'happened' }],
  })
  expect(await operator(events).skips({ from: 4n })).toEqual([])
  expect(await operator(events).skips({ to: 2n })).toEqual([])
  expect(await operator(events).skips({ projection: 'another' })).toEqual([])
})

test('an event that comes late is found, recorded and counted once, also where two nodes see it', async () => {
  const events = await newEvents()
  const { writer, counted, daemon } = await passed(events, {
    projections: [recorder(events, 'all'), recorder(events, 'rare', { eventTypes: ['rare'] })],
  })
  const second = await node(events, { projections: [recorder(events, 'all')] })
  await writer.query('commit')
  await eventually(() => statesOf(events)).toEqual({ 3: ['all open', 'rare not_wanted'] })
  await eventually(() => [...counted, ...second.counted]).toEqual([['all', ['3']]])
  const [late] = await operator(events).lateEvents({ state: 'open' })
  expect(late).toMatchObject({ passed: 'without_proof', type: 'happened' })
  expect(late?.foundAtMs).toBeGreaterThan(late?.passedAtMs ?? Number.POSITIVE_INFINITY)
  await Promise.all([daemon.stop(), second.daemon.stop()])
  // What was counted before is not counted again.
  const third = await node(events)
  await eventually(() => statesOf(events)).toEqual({ 3: ['all open', 'rare not_wanted'] })
  await third.daemon.stop()
  expect(third.counted).toEqual([])
})

test('a restart looks again at what was passed before', async () => {
  const events = await newEvents()
  const { daemon, writer } = await passed(events)
  await daemon.stop()
  await writer.query('commit')
  const { counted } = await node(events)
  await eventually(() => counted).toEqual([['all', ['3']]])
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 4n, 5n])
})

test('what comes after the window is over is not looked for', async () => {
  const events = await newEvents()
  const { daemon, writer } = await passed(events, { window: { lateEventWindowMs: 1 } })
  await writer.query('commit')
  await daemon.stop()
  await node(events, { window: { lateEventWindowMs: 1 } })
  await events.append()
  await eventually(async () => (await handledBy(db.pool, events, 'all')).at(-1)).toBe(6n)
  expect(await operator(events).lateEvents()).toEqual([])
  expect(await operator(events).skips()).toMatchObject([{ thereNow: [{ position: '3' }], late: [] }])
})

test('a number that a placeholder has filled is not late', async () => {
  const events = await newEvents()
  const { writer, counted } = await passed(events, {}, 'tombstone')
  await writer.query('commit')
  const other = await slowWriter(events)
  await events.append()
  await eventually(async () => (await handledBy(db.pool, events, 'all')).at(-1)).toBe(7n)
  await other.query('commit')
  await eventually(() => statesOf(events)).toEqual({ 6: ['all open'] })
  // The row is there before its telemetry is sent.
  await eventually(() => counted).toEqual([['all', ['6']]])
  expect(await operator(events).skips({ to: 3n })).toMatchObject([{ thereNow: [], late: [] }])
})

test('what a projection that was behind is given in its place is not late for it', async () => {
  const events = await newEvents()
  const { writer, daemon } = await passed(events)
  await daemon.stop()
  await writer.query('commit')
  // It begins now: 3 was passed by the mark, and is there.
  const { counted } = await node(events, {
    projections: [recorder(events, 'all'), recorder(events, 'new', { batchSize: 2 })],
  })
  await eventually(() => statesOf(events)).toEqual({ 3: ['all open', 'new in_order'] })
  await eventually(() => handledBy(db.pool, events, 'new')).toEqual([1n, 2n, 3n, 4n, 5n])
  await eventually(() => counted).toEqual([['all', ['3']]])
})

test('a page that was loaded before the event came, and is committed after it was found, has missed it', async () => {
  const events = await newEvents()
  await events.append(1)
  const slow = { isHeld: false, goOn: () => {} }
  const { writer, counted } = await (async () => {
    const held = recorder(events, 'held')
    const started = await node(events, {
      projections: [
        recorder(events, 'all'),
        {
          ...held,
          handle: async (batch, context) => {
            if (batch.some((row) => row.position === 4n)) {
              slow.isHeld = true
              await new Promise<void>((resolve) => {
                slow.goOn = resolve
              })
            }
            await held.handle(batch, context)
          },
        },
      ],
    })
    await started.daemon.waitUntilProjected()
    await events.append(1)
    await started.daemon.waitUntilProjected()
    const open = await slowWriter(events)
    await events.append(1)
    return { ...started, writer: open }
  })()
  await expect.poll(() => slow.isHeld, { timeout: 20_000 }).toBe(true)
  await writer.query('commit')
  await eventually(() => statesOf(events)).toEqual({ 3: ['all open'] })
  slow.goOn()
  await eventually(() => statesOf(events)).toEqual({ 3: ['all open', 'held open'] })
  await eventually(() => [...counted].sort()).toEqual([
    ['all', ['3']],
    ['held', ['3']],
  ])
})

test('more late events in one run than one look answers are all found', async () => {
  const events = await newEvents()
  await events.append(1)
  const { daemon } = await node(events)
  await daemon.waitUntilProjected()
  const writer = await db.session()
  await writer.query('begin')
  await writer.query(`insert into ${events.name} (type) select 'many' from generate_series(1, 2500)`)
  await events.append(1)
  await daemon.waitUntilProjected({ upTo: 2502n })
  await writer.query('commit')
  const count = async () =>
    (await db.pool.query(`select count(*)::int as n from ${events.schema}.late_event_units`)).rows[0].n
  await expect.poll(count, { timeout: 20_000 }).toBe(2500)
})

test('what is discarded is open no more, and says who and why', async () => {
  const events = await newEvents()
  const { writer } = await passed(events)
  await writer.query('commit')
  await eventually(() => statesOf(events)).toEqual({ 3: ['all open'] })
  const request = { from: 1n, to: 10n, who: 'ann', why: 'it was a test' }
  expect(await operator(events).discardLateEvents(request)).toBe(1)
  expect(await operator(events).discardLateEvents({ ...request, who: 'bob' })).toBe(0)
  const [late] = await operator(events).lateEvents()
  expect(late?.units).toMatchObject([{ state: 'discarded', decision: { who: 'ann', why: 'it was a test' } }])
  expect(await operator(events).lateEvents({ state: 'open' })).toEqual([])
})

test('positions of operations need a source', async () => {
  const events = await newEvents()
  const operations = createOperations<bigint>({
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: events.schema }),
  })
  await expect(operations.skips({ from: 3n })).rejects.toMatchObject({ option: 'source' })
  const discarding = operations.discardLateEvents({ from: 1n, to: 2n, who: 'ann', why: 'no' })
  await expect(discarding).rejects.toMatchObject({ option: 'source' })
})
