import type { Projection } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
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
const NAMES = ['orders', 'stock', 'mails', 'invoices', 'search', 'sales']

const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))

/** Who works on which projection: each writes down the name of its node, and the positions, in the checkpoint's transaction. */
async function table(): Promise<EventTable> {
  const events = await db.events()
  await events.run(`${HANDLED}; create table worked (projection text, node text)`)
  return events
}

function start(events: EventTable, label: string, nodes: { readonly index: number; readonly of: number }) {
  const pool = db.newPool()
  return startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    nodes,
    projections: NAMES.map((name): Projection<PostgresRow, PgClient> => {
      const recording = recorder(events, name)
      return {
        ...recording,
        reset: async (tx) => {
          await tx.query(`delete from ${events.schema}.handled where projection = $1`, [name])
        },
        handle: async (page, context) => {
          await recording.handle(page, context)
          await context.tx.query(`insert into ${events.schema}.worked values ($1, $2)`, [name, label])
        },
      }
    }),
  })
}

async function workers(events: EventTable, name: string): Promise<readonly string[]> {
  const { rows } = await db.pool.query(
    `select distinct node from ${events.schema}.worked where projection = $1 order by node`,
    [name],
  )
  return rows.map((row) => String(row.node))
}

test('each projection is worked on by exactly one of three daemons; what an operator asks is done there', async () => {
  const events = await table()
  const daemons = [
    await start(events, '0', { index: 0, of: 3 }),
    await start(events, '1', { index: 1, of: 3 }),
    await start(events, '2', { index: 2, of: 3 }),
  ]
  await events.append(40)
  // Each waits for all of them, also for those that the others have.
  for (const daemon of daemons) await daemon.waitUntilProjected({ timeoutMs: 30_000 })
  const expected = new Map<string, string>()
  for (const [index, daemon] of daemons.entries()) {
    const here = daemon.status().projections.filter(({ dealtTo }) => dealtTo?.isHere)
    expect(here).toHaveLength(2)
    for (const { name } of here) expected.set(name, String(index))
  }
  for (const name of NAMES) {
    expect(await workers(events, name)).toEqual([expected.get(name)])
    expect(await handledBy(db.pool, events, name)).toEqual(numbers(40))
  }
  const operations = createOperations({
    checkpoints: checkpointsBeside(events, db.pool),
    source: postgresEvents({ pool: db.pool, table: events.name }),
  })
  await operations.rebuild({ projection: 'mails', who: 'ann', why: 'wrong sums' })
  await eventually(() => handledBy(db.pool, events, 'mails')).toEqual(numbers(40))
  expect(await workers(events, 'mails')).toEqual([expected.get('mails')])
})

test('two with the same number, and counts that differ as in a rolling deploy: nothing is lost or handled twice', async () => {
  const events = await table()
  const daemons = [
    await start(events, 'a', { index: 0, of: 2 }),
    await start(events, 'b', { index: 0, of: 2 }),
    await start(events, 'c', { index: 1, of: 2 }),
    await start(events, 'd', { index: 2, of: 3 }),
  ]
  for (let round = 0; round < 10; round++) {
    await events.append(10)
    await daemons[round % daemons.length]?.waitUntilProjected({ timeoutMs: 30_000 })
  }
  for (const name of NAMES) expect(await handledBy(db.pool, events, name)).toEqual(numbers(100))
})

test('what is dealt to a daemon that is away stands still, and goes on when it is back', async () => {
  const events = await table()
  const first = await start(events, 'first', { index: 0, of: 2 })
  const second = await start(events, 'second', { index: 1, of: 2 })
  await events.append(5)
  await first.waitUntilProjected({ timeoutMs: 30_000 })
  await second.stop()
  await events.append(5)
  const away = first.status().projections.filter(({ dealtTo }) => !dealtTo?.isHere)
  expect(away).toHaveLength(3)
  const here = NAMES.filter((name) => !away.some((projection) => projection.name === name))
  await first.waitUntilProjected({ projections: here, timeoutMs: 30_000 })
  for (const { name } of away) expect(await handledBy(db.pool, events, name)).toEqual(numbers(5))
  const again = await start(events, 'again', { index: 1, of: 2 })
  await again.waitUntilProjected({ timeoutMs: 30_000 })
  for (const { name } of away) {
    expect(await handledBy(db.pool, events, name)).toEqual(numbers(10))
    expect(await workers(events, name)).toEqual(['again', 'second'])
  }
})
