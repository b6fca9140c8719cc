import { postgresEvents } from '@tidemark/pg-adapter'
import type { Pool, PoolClient } from 'pg'
import { expect, test } from 'vitest'
import {
  appended,
  checkpointsBeside,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

/** As with `lc_messages` of another language: names and values stay, the words around them do not. */
function speakingAnotherLanguage(pool: Pool): Pool {
  pool.on('connect', (client: PoolClient) => {
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<unknown>
    const translated = (error: unknown): never => {
      if (error instanceof Error) error.message = error.message.replace(/^[^"]*/, 'Fehler: ')
      throw error
    }
    Object.assign(client, {
      query: (text: string, values?: unknown[]) => query(text, values).catch(translated),
    })
  })
  return pool
}

const CHANGES = [
  'add column more text',
  'alter n type bigint',
  'alter type type varchar(40)',
  'add column less int not null default 7',
  'rename n to m',
  'drop column more',
]

test('a table may be altered again and again under a daemon, whatever language its server speaks: each event is handled once', async () => {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint primary key default nextval('numbers'), n int, type text not null default 'a');
    ${HANDLED}`)
  const pool = speakingAnotherLanguage(db.newPool({ max: 4 }))
  const blamed: unknown[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'all'), recorder(events, 'some', { eventTypes: ['a', 'b'] })],
    telemetry: {
      handlerFailed: ({ error, attempt }) => {
        if (attempt > 0) blamed.push(error)
      },
    },
  })
  for (const change of CHANGES) {
    // So often that what may be kept of a statement is kept.
    for (let n = 0; n < 6; n++) {
      await events.append()
      await daemon.waitUntilProjected()
    }
    await events.run(`alter table events ${change}`)
  }
  await events.append()
  await daemon.waitUntilProjected()
  const everything = await appended(db.pool, events)
  expect(everything).toHaveLength(6 * CHANGES.length + 1)
  for (const name of ['all', 'some']) expect(await handledBy(db.pool, events, name)).toEqual(everything)
  expect(blamed).toEqual([])
})
