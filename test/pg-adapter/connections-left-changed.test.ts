import type { Projection } from '@tidemark/core'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  appended,
  checkpointsBeside,
  type EventTable,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** Leaves something behind on its connection, which the pool hands out again. */
function leaving(events: EventTable, statement: string): Projection<PostgresRow, PgClient> {
  const { name, handle } = recorder(events, 'all')
  return {
    name,
    batchSize: 2,
    handle: async (page, context) => {
      await handle(page, context)
      await context.tx.query(statement)
    },
  }
}

test.each([
  [
    'a search path to another table',
    (_: EventTable, other: EventTable) => `set search_path = ${other.schema}`,
  ],
  [
    'a temporary table of the same name',
    ({ name }: EventTable) => `create temporary table if not exists events as table ${name} with no data`,
  ],
])('a handler that leaves %s on its connection loses no event', async (_, left) => {
  const [events, other] = [await db.events(), await db.events()]
  await events.run(HANDLED)
  const pool = db.newPool({ max: 3, options: `-c search_path=${events.schema}` })
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: 'events' }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [leaving(events, left(events, other))],
  })
  for (let round = 0; round < 4; round++) {
    await events.append(5)
    await daemon.waitUntilProjected()
  }
  expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
})
