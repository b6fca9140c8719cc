import type { Projection } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import {
  answeredUnderKills,
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
const ASK = { projection: 'all', who: 'ann', why: "o'neill is a test customer" }

async function table(count: number): Promise<EventTable> {
  const events = await db.events()
  await events.run(`${HANDLED}; create unique index on handled (projection, position)`)
  await events.append(count)
  return events
}

/** Fails at these positions, after it has written them. */
function poisonable(
  events: EventTable,
  poison: ReadonlySet<bigint>,
  more: Partial<Projection<PostgresRow, PgClient>> = {},
): Projection<PostgresRow, PgClient> {
  const projection = recorder(events, 'all', { attempts: 2, ...more })
  return {
    ...projection,
    handle: async (batch, context) => {
      await projection.handle(batch, context)
      const found = batch.find(({ position }) => poison.has(BigInt(String(position))))
      if (found) throw new Error(`cannot handle ${found.position}`)
    },
  }
}

const node = (events: EventTable, projection: Projection<PostgresRow, PgClient>, pool: Pool = db.newPool()) =>
  startDaemon({
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [projection],
  })

const operator = (events: EventTable, pool: Pool = db.newPool()): Operations<bigint> =>
  createOperations({
    checkpoints: checkpointsBeside(events, pool),
    source: postgresEvents({ pool, table: events.name }),
  })

async function expectSkipped(events: EventTable, count: number, at: bigint): Promise<void> {
  const all = Array.from({ length: count }, (_, index) => BigInt(index + 1))
  await eventually(() => handledBy(db.pool, events, 'all')).toEqual(all.filter((each) => each !== at))
  const operations = operator(events)
  const entries = (await operations.audit()).filter(({ operation }) => operation === 'skip')
  expect(entries).toMatchObject([
    {
      who: 'ann',
      why: ASK.why,
      refused: undefined,
      before: { position: String(at - 1n), skipped: {} },
      after: { position: String(at), skipped: { apply_error: 1n } },
    },
  ])
  expect(await operations.deadLetters.list()).toMatchObject([
    {
      firstPosition: String(at),
      lastPosition: String(at),
      events: 1,
      stage: 'handle',
      error: { name: 'Error', message: `cannot handle ${at}`, stack: expect.stringContaining('skip-next') },
      skippedBy: { who: 'ann', why: ASK.why },
      closed: undefined,
    },
  ])
  await eventually(async () => (await operations.list())[0]).toMatchObject({
    position: String(count),
    skipped: { apply_error: 1n },
    asked: undefined,
  })
}

describe('skipNext passes one event, once, and its audit row says so,', () => {
  test('asked by ten callers at once, of a daemon that is paused at it', async () => {
    const events = await table(10)
    const daemon = await node(events, poisonable(events, new Set([4n]), { batchSize: 4 }))
    await eventually(() => daemon.status().projections[0]?.state).toBe('paused')
    const operations = operator(events, db.newPool({ max: 10 }))
    const asked = Array.from({ length: 10 }, () => operations.skipNext({ ...ASK, position: 4n }))
    const outcomes = await Promise.all(asked)
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([...Array(9).fill('already'), 'done'])
    expect(new Set(outcomes.map(({ entry }) => entry?.id)).size).toBe(1)
    await expectSkipped(events, 10, 4n)
  })

  test('asked twice with every daemon dead, and done by one that is started later, on another node', async () => {
    const events = await table(10)
    const poison = new Set([7n])
    const first = await node(events, poisonable(events, poison))
    await eventually(() => first.status().projections[0]?.state).toBe('paused')
    await first.stop()
    const operations = operator(events)
    const asked = [1, 2].map(() => operations.skipNext({ ...ASK, position: 7n }))
    await eventually(async () => (await operations.list())[0]?.asked).toMatchObject({
      operation: 'skip',
      position: '7',
    })
    await node(events, poisonable(events, poison))
    const outcomes = await Promise.all(asked)
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['already', 'done'])
    await expectSkipped(events, 10, 7n)
  })

  test('while two nodes have the projection, and the server kills whoever asks and whoever does it', async () => {
    const events = await table(10)
    const poison = new Set([5n])
    const daemons = await Promise.all(
      [1, 2].map((n) =>
        node(
          events,
          poisonable(events, poison, { batchSize: 3 }),
          db.newPool({ application_name: `does ${n} ${events.schema}` }),
        ),
      ),
    )
    await eventually(() => daemons.map((each) => each.status().projections[0]?.state)).toContain('paused')
    const operations = operator(events, db.newPool({ application_name: `asks ${events.schema}` }))
    await answeredUnderKills(db.pool, events, () => operations.skipNext({ ...ASK, position: 5n }))
    await expectSkipped(events, 10, 5n)
  })
})

test('a handler that is mended and deployed handles the event, which a retry of its letter then gives it', async () => {
  const events = await table(6)
  const poison = new Set([3n])
  const daemon = await node(events, poisonable(events, poison))
  await eventually(() => daemon.status().projections[0]?.state).toBe('paused')
  await operator(events).skipNext({ ...ASK, position: 3n })
  await expectSkipped(events, 6, 3n)
  await daemon.stop()
  await node(events, poisonable(events, new Set()))
  expect(
    await operator(events).deadLetters.retry({ projection: 'all', who: 'ann', why: 'deployed' }),
  ).toMatchObject({
    failed: [],
    left: [],
  })
  // Before or after those behind it, as the first daemon has come to them or not.
  expect((await handledBy(db.pool, events, 'all')).toSorted()).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
})
