import type { CheckpointStore } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { type PgClient, type PgPool, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const db = fileDatabase()

/** A store over one connection, and its moves: each brings each of these projections to its next position. */
async function movable(pool: PgPool, projections: readonly string[]) {
  const { schema } = await db.events()
  const store: CheckpointStore<PgClient> = postgresCheckpoints({ pool, schema })
  await store.prepare?.(never())
  const units = projections.map(wholeUnit)
  for (const unit of units) await store.open(unit, { source: 'events', head: undefined }, never())
  let position = 0
  const move = async (): Promise<void> => {
    const from = position === 0 ? undefined : `${position}`
    const to = `${++position}`
    const evidence = { incarnation: 'of another store', settled: to, logPosition: undefined }
    for (const unit of units)
      await store.advance({ unit, source: 'events', from, to, evidence, signal: never() }, async () => {})
  }
  const positions = async () => (await store.list({}, never())).map(({ position }) => position)
  return { schema, move, positions }
}

/** How often each statement was executed that is kept on the only connection of a pool. */
async function executions(pool: Pool): Promise<number[]> {
  const { rows } = await pool.query(
    "select generic_plans + custom_plans as n from pg_prepared_statements where name like 'tidemark\\_%'",
  )
  return rows.map(({ n }) => Number(n)).sort((a, b) => a - b)
}

test('on its second use of a connection a checkpoint is locked and moved by prepared statements, the same ones for every projection', async () => {
  const pool = db.newPool({ max: 1 })
  const { move, positions } = await movable(pool, ['a', 'b', 'c'])
  for (let n = 0; n < 4; n++) await move()
  expect(await positions()).toEqual(['4', '4', '4'])
  // Limit, lock and move: twelve batches, of which the first has told whose backend this is.
  expect(await executions(pool)).toEqual([11, 11, 11])
})

test('a client that does not know the pid of its backend is sent whole statements', async () => {
  const session = await db.session()
  const client: PgClient = {
    query: (text, values) => session.query(text, values),
    release: () => {},
    on: () => {},
    removeListener: () => {},
  }
  const pool: PgPool = { connect: async () => client }
  const { move, positions } = await movable(pool, ['a'])
  for (let n = 0; n < 4; n++) await move()
  expect(await positions()).toEqual(['4'])
  expect((await session.query('select from pg_prepared_statements')).rowCount).toBe(0)
})

test('tables that are altered under a running daemon are moved in all the same', async () => {
  const pool = db.newPool({ max: 1 })
  const { schema, move, positions } = await movable(pool, ['a'])
  for (let n = 0; n < 3; n++) await move()
  await db.pool.query(`alter table ${schema}.checkpoints add column later text not null default ''`)
  await move()
  expect(await executions(pool)).toEqual([3, 3, 3])
  await db.pool.query(`alter table ${schema}.checkpoints alter role type varchar(20)`)
  for (let n = 0; n < 2; n++) await move()
  expect(await positions()).toEqual(['6'])
  expect(await executions(pool), 'prepared anew after one of another type').toEqual([2, 2, 2])
})

test.each(['deallocate all', 'discard plans'])(
  'a handler that runs %s loses nothing, repeats nothing and is not blamed',
  async (statement) => {
    const events = await db.events()
    await events.run(HANDLED)
    await events.append(6)
    let calls = 0
    const daemon = await startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name }),
      checkpoints: checkpointsBeside(events, db.newPool({ max: 1 })),
      projections: [
        {
          name: 'tested',
          batchSize: 1,
          attempts: 1,
          handle: async (page, context) => {
            calls++
            await context.tx.query(statement)
            await recorder(events, 'tested').handle(page, context)
          },
        },
      ],
    })
    await daemon.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
    expect(daemon.status().projections[0]).toMatchObject({ state: 'live' })
    // Whoever deallocates has one batch rolled back and tried again.
    expect(calls).toBe(statement === 'deallocate all' ? 7 : 6)
  },
)

test('a handler that commits its transaction and deallocates is paused at once: nothing is repeated', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.newPool({ max: 1 })),
    projections: [
      {
        name: 'tested',
        batchSize: 1,
        handle: async (page, context) => {
          await recorder(events, 'tested').handle(page, context)
          if (page[0]?.position === 2n) await context.tx.query('commit; deallocate all; begin')
        },
      },
    ],
  })
  await eventually(() => daemon.status().projections[0]).toMatchObject({
    state: 'paused',
    error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' },
  })
  expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n])
})
