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

test('columns are added under a daemon: after each the connection keeps its statements again, and each event is handled once', async () => {
  const events = await db.events(`create sequence numbers;
    create table events (position bigint primary key default nextval('numbers'), type text not null default 'a');
    ${HANDLED}`)
  const pool = speakingAnotherLanguage(db.newPool({ max: 1 }))
  const blamed: unknown[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all'), recorder(events, 'some', { eventTypes: ['a', 'b'] })],
    telemetry: {
      handlerFailed: ({ error, attempt }) => {
        if (attempt > 0) blamed.push(error)
      },
    },
  })
  const append = async (times: number) => {
    for (let n = 0; n < times; n++) {
      await events.append()
      await daemon.waitUntilProjected()
    }
  }
  /** When the oldest statement was prepared that is kept on the connection, and whose backend that is. */
  const kept = async () => {
    const client = await pool.connect()
    const { rows } =
      await client.query(`select pg_backend_pid() as pid, count(*)::int as statements, min(prepare_time) as oldest,
      count(*) filter (where statement ~ 'rows with ties|tidemark: found')::int as pages from pg_prepared_statements`)
    client.release()
    return rows[0]
  }
  await append(6)
  const { pid } = await kept()
  for (let round = 1; round <= 6; round++) {
    await events.run(`alter table events add column more_${round} text`)
    const [{ now }] = (await db.pool.query('select clock_timestamp() as now')).rows
    await append(4)
    const again = await kept()
    expect(again).toMatchObject({ pid })
    expect(again.pages).toBeGreaterThan(0)
    expect(again.oldest.getTime()).toBeGreaterThanOrEqual(now.getTime())
  }
  const everything = await appended(db.pool, events)
  for (const name of ['all', 'some']) expect(await handledBy(db.pool, events, name)).toEqual(everything)
  expect(blamed).toEqual([])
})
