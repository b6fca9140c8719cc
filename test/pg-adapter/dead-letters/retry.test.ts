import type { Daemon, OnFailure, Projection } from '@tidemark/core'
import { createOperations, type Operations } from '@tidemark/core/operations'
import { type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { PoolClient } from 'pg'
import { describe, expect, test } from 'vitest'
import { type EventTable, eventually, fileDatabase, startDaemon } from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const db = fileDatabase()
const BY = { who: 'ann', why: 'the handler is mended' }
const POISON = [3n, 4n, 7n, 11n]

interface Given {
  readonly events: EventTable
  /** Positions at which the handler throws. */
  readonly poison: Map<bigint, Error>
  readonly projection: Projection<PostgresRow, PoolClient>
  readonly operations: Operations<never>
  readonly start: (more?: Partial<Projection<PostgresRow, PoolClient>>) => Promise<Daemon<bigint>>
}

/** Of twelve events, those at POISON were given up. */
async function given(
  onFailure: OnFailure<PostgresRow> = 'skip',
): Promise<Given & { daemon: Daemon<bigint> }> {
  const events = await db.events()
  await events.append(12)
  await events.run(`create table handled (number bigint generated always as identity, position bigint)`)
  const poison = new Map(POISON.map((position) => [position, new Error(`boom ${position}`)]))
  const projection: Projection<PostgresRow, PoolClient> = {
    name: 'orders',
    attempts: 1,
    onFailure,
    handle: async (batch, { tx }) => {
      for (const row of batch) {
        const position = BigInt(String(row.position))
        await tx.query(`insert into ${events.schema}.handled (position) values ($1)`, [position])
        const error = poison.get(position)
        if (error) throw error
      }
    },
  }
  const checkpoints = checkpointsOf(events)
  const start = (more = {}): Promise<Daemon<bigint>> =>
    startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name, eventType: 'type' }),
      checkpoints: checkpointsOf(events),
      projections: [{ ...projection, ...more }],
    })
  const daemon = await start()
  await daemon.waitUntilProjected()
  return { events, poison, projection, start, daemon, operations: createOperations({ checkpoints }) }
}

const checkpointsOf = ({ schema }: EventTable) => postgresCheckpoints<PoolClient>({ pool: db.pool, schema })

async function handled({ schema }: EventTable): Promise<readonly bigint[]> {
  const { rows } = await db.pool.query(`select position::text from ${schema}.handled order by number`)
  return rows.map(({ position }) => BigInt(position))
}

async function idsOf({ deadLetters }: Operations<never>): Promise<readonly string[]> {
  return (await deadLetters.list()).map(({ id }) => id)
}

const LIVE = Array.from({ length: 12 }, (_, index) => BigInt(index + 1)).filter((at) => !POISON.includes(at))
const positionOf = async (events: EventTable) =>
  (await checkpointsOf(events).list({}, never())).map(({ position }) => position)

test('all of a projection are handled, each once and in order, and closed; the checkpoint stays where it is', async () => {
  const { events, poison, operations } = await given()
  poison.clear()
  const ids = await idsOf(operations)
  const { deadLetters } = operations
  expect(await deadLetters.retry({ projection: 'orders', ...BY })).toEqual({
    retried: ids,
    failed: [],
    left: [],
  })
  expect(await handled(events)).toEqual([...LIVE, ...POISON])
  expect(await positionOf(events)).toEqual(['12'])
  expect(await deadLetters.list({ state: 'retried' })).toMatchObject(ids.map((id) => ({ id, closed: BY })))
  expect(await deadLetters.counts()).toEqual([])
  expect((await operations.list())[0]?.skipped).toEqual({ apply_error: 4n })
  expect(await deadLetters.retry({ ids, ...BY }), 'asked again').toEqual({
    retried: ids,
    failed: [],
    left: [],
  })
  expect(await handled(events), 'asked again').toEqual([...LIVE, ...POISON])
})

test('what fails again stays open with the newest error and one try more, and the others go on', async () => {
  const { events, poison, operations } = await given()
  poison.clear()
  poison.set(4n, new TypeError('still'))
  const { deadLetters } = operations
  const ids = await idsOf(operations)
  const [first = '', second = '', third = '', fourth = ''] = ids
  await deadLetters.discard({ ids: [fourth], who: 'ann', why: 'a test' })
  const outcome = await deadLetters.retry({ ids, ...BY })
  expect(outcome).toEqual({ retried: [first, third], failed: [second], left: [fourth] })
  expect(await handled(events)).toEqual([...LIVE, 3n, 7n])
  expect(await deadLetters.show(second)).toMatchObject({
    closed: undefined,
    retryAsked: undefined,
    tries: 2,
    error: { name: 'TypeError', message: 'still' },
  })
  poison.clear()
  expect(await deadLetters.retry({ projection: 'orders', ...BY })).toEqual({
    retried: [second],
    failed: [],
    left: [],
  })
})

test('only those of a type are retried where a type is said', async () => {
  const { events, poison, operations } = await given()
  poison.clear()
  const { deadLetters } = operations
  const none = await deadLetters.retry({ projection: 'orders', eventType: 'other', ...BY })
  expect(none).toEqual({ retried: [], failed: [], left: [] })
  const outcome = await deadLetters.retry({ projection: 'orders', eventType: 'happened', ...BY })
  expect(outcome.retried).toHaveLength(4)
  expect(await handled(events)).toEqual([...LIVE, ...POISON])
})

test('an event that its source does not have any more stays a dead letter, which says so', async () => {
  const { events, poison, operations } = await given()
  poison.clear()
  await db.pool.query(`delete from ${events.name} where position = 4`)
  const { deadLetters } = operations
  const { failed } = await deadLetters.retry({ projection: 'orders', ...BY })
  expect(failed).toHaveLength(1)
  expect(await deadLetters.show(failed[0] ?? '')).toMatchObject({
    firstPosition: '4',
    error: { name: 'EventsGoneError', message: expect.stringContaining('at position 4 any more') },
  })
  expect(await handled(events)).toEqual([...LIVE, 3n, 7n, 11n])
})

test('a handler that ends its transaction, or takes too long, closes no letter', async () => {
  const { start, daemon, poison, operations } = await given()
  await daemon.stop()
  poison.clear()
  const [first = '', second = ''] = await idsOf(operations)
  const mended = await start({
    handlerTimeoutMs: 300,
    handle: async ([row], { tx }) => {
      if (String(row?.position) === '3') await tx.query('commit')
      else await new Promise(() => {})
    },
  })
  const outcome = await operations.deadLetters.retry({ ids: [first, second], ...BY })
  expect(outcome).toEqual({ retried: [], failed: [first, second], left: [] })
  expect(await operations.deadLetters.list({ state: 'open', limit: 2 })).toMatchObject([
    { error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' } },
    { error: { code: 'TIDEMARK_HANDLER_TIMEOUT' } },
  ])
  expect(mended.status().projections[0]).toMatchObject({ state: 'live' })
})

test('a connection that is cut in the middle of a retry is no failure of the event: it is retried by itself', async () => {
  const { events, start, daemon, poison, projection, operations } = await given()
  await daemon.stop()
  poison.clear()
  let cuts = 0
  await start({
    handle: async (batch, context) => {
      await projection.handle(batch, context)
      if (cuts++ > 0) return
      const { rows } = await context.tx.query('select pg_backend_pid() as pid')
      await db.pool.query('select pg_terminate_backend($1, 10000)', [rows[0].pid])
    },
  })
  const { retried } = await operations.deadLetters.retry({ projection: 'orders', ...BY })
  expect(retried).toHaveLength(4)
  expect(cuts).toBe(5)
  expect(await handled(events)).toEqual([...LIVE, ...POISON])
  expect((await operations.deadLetters.list()).map(({ tries }) => tries)).toEqual([1, 1, 1, 1])
})

test('a projection that an operator has paused retries nothing before it is resumed', async () => {
  const { events, poison, operations } = await given()
  poison.clear()
  const { deadLetters } = operations
  await operations.pause({ projection: 'orders', ...BY })
  const waiting = deadLetters.retry({ projection: 'orders', ...BY, timeoutMs: 1_500 })
  await expect(waiting).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
    message: expect.stringContaining('of 4 dead letters 0 were retried'),
  })
  expect(await handled(events)).toEqual(LIVE)
  expect((await operations.list())[0]?.isRetryAsked).toBe(true)
  await operations.resume({ projection: 'orders', ...BY })
  await eventually(() => handled(events)).toEqual([...LIVE, ...POISON])
  expect((await operations.list())[0]?.isRetryAsked).toBe(false)
})

test('asked while no daemon runs, it is done by the next one', async () => {
  const { events, start, daemon, poison, operations } = await given()
  await daemon.stop()
  poison.clear()
  const retrying = operations.deadLetters.retry({ projection: 'orders', ...BY })
  await start()
  expect((await retrying).retried).toHaveLength(4)
  expect(await handled(events)).toEqual([...LIVE, ...POISON])
})

test('three daemons, ten who ask and events that come meanwhile: each letter and each event is handled once', async () => {
  const { events, start, poison, operations } = await given()
  await Promise.all([start(), start()])
  poison.clear()
  const ids = await idsOf(operations)
  const asking = Array.from({ length: 10 }, () =>
    operations.deadLetters.retry({ projection: 'orders', ...BY }),
  )
  const last = await events.append(20)
  for (const { retried } of await Promise.all(asking))
    expect(ids).toEqual(expect.arrayContaining([...retried]))
  await eventually(() => positionOf(events)).toEqual([String(last)])
  const all = await handled(events)
  expect(all.filter((at) => POISON.includes(at))).toEqual(POISON)
  expect(all.filter((at) => !POISON.includes(at))).toEqual([
    ...LIVE,
    ...Array.from({ length: 20 }, (_, index) => BigInt(13 + index)),
  ])
})

test('a projection that is paused for an event that fails retries all the same, and stays paused', async () => {
  const { events, poison, operations } = await given(({ error }) =>
    String(error).includes('unknown') ? 'pause' : 'skip',
  )
  poison.set(14n, new Error('unknown'))
  await events.append(2)
  await eventually(() => positionOf(events)).toEqual(['13'])
  for (const position of POISON) poison.delete(position)
  const { retried } = await operations.deadLetters.retry({ projection: 'orders', ...BY })
  expect(retried).toHaveLength(4)
  expect(await handled(events)).toEqual([...LIVE, 13n, ...POISON])
})

describe('it is not asked for', () => {
  test.each([
    ['with ids and a projection', { ids: ['1'], projection: 'orders', ...BY }, 'ids'],
    ['with neither', { ...BY }, 'ids'],
    ['with a type alone', { eventType: 'happened', ...BY }, 'projection'],
    ['without a reason', { ids: ['1'], who: 'ann', why: '' }, 'why'],
    ['with an option that does not exist', { ids: ['1'], ...BY, wait: true }, 'wait'],
    ['for longer than a timer can', { ids: ['1'], ...BY, timeoutMs: 2 ** 31 }, 'timeoutMs'],
  ])('%s', async (_, request, option) => {
    const { deadLetters } = createOperations({ checkpoints: postgresCheckpoints({ pool: db.pool }) })
    await expect(deadLetters.retry(request)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
      option,
    })
  })
})

test('of a version that is retired or forgotten nothing is retried or waited for', async () => {
  const { events, daemon, operations } = await given()
  await daemon.stop()
  const ofNone = { retried: [], failed: [], left: [] }
  await operations.pause({ projection: 'orders', ...BY })
  // Another version would have to become the live one first.
  await db.pool.query(`update ${events.schema}.checkpoints set role = 'retired'`)
  expect(await operations.deadLetters.retry({ projection: 'orders', ...BY })).toEqual(ofNone)
  await operations.forget({ projection: 'orders', ...BY })
  expect(await operations.deadLetters.retry({ projection: 'orders', ...BY })).toEqual(ofNone)
})
