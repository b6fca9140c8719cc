import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

test('events that share a position, one number a commit, are never parted by the end of a page', async () => {
  const events = await db.events(`
    create sequence numbers;
    create table events (position bigint not null default nextval('numbers'), type text not null default 'any');
    create index on events (position)`)
  await events.run(HANDLED)
  await events.run(`
    insert into events (position)
    select number from (select nextval('numbers') as number from generate_series(1, 5)) n, generate_series(1, 3)`)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all', { batchSize: 2 })],
  })
  await daemon.waitUntilProjected()
  await daemon.stop()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n].flatMap((n) => [n, n, n]))
})
