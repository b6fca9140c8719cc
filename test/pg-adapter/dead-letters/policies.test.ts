import type { Daemon, OnFailure, Projection } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { PoolClient } from 'pg'
import { describe, expect, test } from 'vitest'
import { type EventTable, eventually, fileDatabase, startDaemon } from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const db = fileDatabase()

const BATCH_SIZE = 1_000
const EVENTS = 10_000
const POISON = 5_000n

/** What a handler throws at some positions, until these are mended. */
type Poison = Map<bigint, Error>

interface Given {
  readonly events: EventTable
  readonly projection: Projection<PostgresRow, PoolClient>
  readonly poison: Poison
}

async function given(onFailure: OnFailure<PostgresRow>, poison: Poison): Promise<Given> {
  const events = await db.events()
  await events.run(`insert into events (type) select 'placed' from generate_series(1, ${EVENTS});
    create table handled (number bigint generated always as identity, position bigint)`)
  const projection: Projection<PostgresRow, PoolClient> = {
    name: 'orders',
    attempts: 2,
    onFailure,
    batchSize: BATCH_SIZE,
    handle: async (batch, { tx }) => {
      const positions = batch.map(({ position }) => BigInt(String(position)))
      // What is written before it fails is rolled back with it.
      await tx.query(`insert into ${events.schema}.handled (position) select unnest($1::bigint[])`, [
        positions,
      ])
      for (const position of positions) {
        const error = poison.get(position)
        if (error) throw error
      }
    },
  }
  return { events, projection, poison }
}

const checkpointsOf = ({ schema }: EventTable) => postgresCheckpoints<PoolClient>({ pool: db.pool, schema })

function start({ events, projection }: Given): Promise<Daemon<bigint>> {
  const source = postgresEvents({ pool: db.pool, table: events.name, eventType: 'type' })
  return startDaemon({ source, checkpoints: checkpointsOf(events), projections: [projection] })
}

const statusOf = (daemon: Daemon<bigint>) => {
  const [status] = daemon.status().projections
  if (status === undefined) throw new Error('there is one projection')
  return status
}

/** Every position up to there, each once and in order, but those; and one of them at last. */
async function expectHandled(
  { schema }: EventTable,
  upTo: bigint,
  but: readonly bigint[],
  last?: bigint,
): Promise<void> {
  const { rows } = await db.pool.query(`select position::text from ${schema}.handled order by number`)
  const all = Array.from({ length: Number(upTo) }, (_, index) => BigInt(index + 1))
  const inOrder = all.filter((position) => !but.includes(position) && position !== last)
  const expected = last === undefined ? inOrder : [...inOrder, last]
  expect(rows.map(({ position }) => BigInt(position))).toEqual(expected)
}

const lettersOf = async (events: EventTable) =>
  (await checkpointsOf(events).deadLetters?.list({}, { limit: 10 }, never())) ?? []

describe('a poison event in the middle of 10,000:', () => {
  test("'pause' commits all before it, once, and stands there; mended, it goes on by itself", async () => {
    const all = await given('pause', new Map([[POISON, new Error('boom')]]))
    const { events, poison } = all
    const daemon = await start(all)
    await eventually(() => statusOf(daemon).state).toBe('paused')
    expect(statusOf(daemon)).toMatchObject({ position: POISON - 1n, skipped: {} })
    await expectHandled(events, POISON - 1n, [])
    expect(await lettersOf(events)).toEqual([])
    await daemon.stop()
    poison.clear()
    await (await start(all)).waitUntilProjected()
    await expectHandled(events, BigInt(EVENTS), [])
  })

  test("'skip' commits all but it, once and in order; it alone has a letter, and is counted", async () => {
    const all = await given('skip', new Map([[POISON, new TypeError('boom')]]))
    const { events, poison } = all
    const daemon = await start(all)
    await daemon.waitUntilProjected()
    await expectHandled(events, BigInt(EVENTS), [POISON])
    expect(statusOf(daemon)).toMatchObject({
      position: BigInt(EVENTS),
      state: 'live',
      handledEvents: EVENTS - 1,
      skipped: { apply_error: 1n },
      failure: undefined,
    })
    const position = String(POISON)
    expect(await lettersOf(events)).toMatchObject([
      {
        projection: 'orders',
        firstPosition: position,
        lastPosition: position,
        events: 1,
        eventTypes: ['placed'],
        stage: 'handle',
        error: { name: 'TypeError', message: 'boom' },
        tries: 2,
      },
    ])
    await daemon.stop()
    const again = await start(all)
    await again.waitUntilProjected()
    expect(statusOf(again).skipped, 'after a restart').toEqual({ apply_error: 1n })
    expect(await lettersOf(events), 'after a restart').toHaveLength(1)
    await expectHandled(events, BigInt(EVENTS), [POISON])
    await again.stop()
    // A mended handler is deployed.
    poison.clear()
    await start(all)
    const { deadLetters } = createOperations({ checkpoints: checkpointsOf(events) })
    const retried = await deadLetters.retry({ projection: 'orders', who: 'ann', why: 'mended' })
    expect(retried).toMatchObject({ failed: [], left: [] })
    await expectHandled(events, BigInt(EVENTS), [], POISON)
  })

  test('a function skips the one it knows, and stands at the other', async () => {
    const poison: Poison = new Map([
      [3_000n, new RangeError('known')],
      [7_000n, new Error('unknown')],
    ])
    const all = await given(({ error }) => (error instanceof RangeError ? 'skip' : 'pause'), poison)
    const { events } = all
    const daemon = await start(all)
    await eventually(() => statusOf(daemon).state).toBe('paused')
    expect(statusOf(daemon)).toMatchObject({ position: 6_999n, skipped: { apply_error: 1n } })
    await expectHandled(events, 6_999n, [3_000n])
    expect((await lettersOf(events)).map(({ firstPosition }) => firstPosition)).toEqual(['3000'])
    await daemon.stop()
    poison.clear()
    const again = await start(all)
    await again.waitUntilProjected()
    expect(statusOf(again).skipped).toEqual({ apply_error: 1n })
    await expectHandled(events, BigInt(EVENTS), [3_000n])
  })
})

test('an event that cannot be mapped is skipped alone, wherever it stands, or with those of its position', async () => {
  const all = await given('skip', new Map())
  const { events, projection } = all
  // 6,000 to 6,002 share a position.
  await events.run(`alter table events drop constraint events_pkey;
    create index on events (position);
    alter table events alter position drop identity;
    create sequence numbers owned by events.position; select setval('numbers', ${EVENTS});
    alter table events alter position set default nextval('numbers');
    update events set position = 6000 where position in (6001, 6002)`)
  const source = postgresEvents({
    pool: db.pool,
    table: events.name,
    eventType: 'type',
    mapRow: (row, position) => {
      if (position === POISON || position === 6_000n) throw new SyntaxError('no JSON')
      return row
    },
  })
  const daemon = await startDaemon({ source, checkpoints: checkpointsOf(events), projections: [projection] })
  await daemon.waitUntilProjected()
  await expectHandled(events, BigInt(EVENTS), [POISON, 6_000n, 6_001n, 6_002n])
  expect(statusOf(daemon)).toMatchObject({ position: BigInt(EVENTS), skipped: { apply_error: 4n } })
  expect(await lettersOf(events)).toMatchObject([
    { stage: 'map', firstPosition: String(POISON), events: 1, tries: 2 },
    { stage: 'map', firstPosition: '6000', lastPosition: '6000', events: 3, tries: 2 },
  ])
})

test('while its table of dead letters is gone a projection passes nothing, and its status says so; then it goes on', async () => {
  const all = await given('skip', new Map([[POISON, new Error('boom')]]))
  const { events } = all
  await checkpointsOf(events).prepare?.(never())
  await events.run('alter table dead_letters rename to gone')
  const daemon = await start(all)
  await eventually(() => JSON.parse(JSON.stringify(statusOf(daemon)))).toMatchObject({
    position: String(POISON - 1n),
    skipped: {},
    failure: { stage: 'commit', batch: { firstPosition: String(POISON) } },
    error: {
      code: 'TIDEMARK_DEAD_LETTER_NOT_WRITTEN',
      message: expect.stringMatching(/could not be written: relation .+dead_letters.+ does not exist/),
    },
  })
  await events.run('alter table gone rename to dead_letters')
  await daemon.waitUntilProjected()
  await expectHandled(events, BigInt(EVENTS), [POISON])
  expect(await lettersOf(events)).toHaveLength(1)
})

test('a batch that nothing fails in sends no statement more, whatever the policy; with keys it sends one', async () => {
  const sent: Record<string, number> = {}
  for (const onFailure of ['pause', 'skip', 'park_key'] as const) {
    const all = await given(onFailure, new Map())
    const { events } = all
    const statements: string[] = []
    const pool = db.newPool()
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown
      Object.assign(client, {
        query: (...args: unknown[]) => {
          if (String(args[0]).includes('dead_letter')) statements.push(String(args[0]))
          return query(...args)
        },
      })
    })
    await checkpointsOf(events).prepare?.(never())
    const source = postgresEvents({ pool: db.pool, table: events.name, eventType: 'type' })
    const checkpoints = postgresCheckpoints<PoolClient>({ pool, schema: events.schema })
    const keys = onFailure === 'park_key' ? { keyOf: ({ type }: PostgresRow) => String(type) } : {}
    const daemon = await startDaemon({ source, checkpoints, projections: [{ ...all.projection, ...keys }] })
    await daemon.waitUntilProjected()
    await daemon.stop()
    sent[onFailure] = statements.filter(
      // Of the start, and of the look for what operators want.
      (text) => !/has_schema_privilege|relpersistence|isRetryAsked/.test(text),
    ).length
  }
  expect(sent).toEqual({ pause: 0, skip: 0, park_key: EVENTS / BATCH_SIZE })
})
