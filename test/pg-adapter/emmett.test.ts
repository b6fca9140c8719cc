import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { agentOver, fileDatabase, refusal, startDaemon } from '../support/event-table.ts'

const db = fileDatabase()

const WRITERS = 6
const APPENDS = 30

const options = () => ({ pool: db.pool, table: 'emt_messages', position: 'global_position' })
const STATEMENT = /(CREATE INDEX|ALTER TABLE)[^;\n]*/g

test("projects Emmett's own tables, appended to by Emmett while another transaction stays open", async () => {
  const store = getPostgreSQLEventStore(db.url)
  await store.schema.migrate()

  // Refused first, with the statements to run.
  const { message } = await refusal(options())
  const statements = message.match(STATEMENT) ?? []
  expect(statements).toHaveLength(2)
  for (const statement of statements) await db.pool.query(statement)
  await (await agentOver(options())).stop()

  const open = await db.session()
  await open.query('begin')
  await open.query('create temporary table written_elsewhere (a int)')

  await db.pool.query('create table seen (n bigint generated always as identity, position bigint, type text)')
  const daemon = await startDaemon({
    source: postgresEvents({ ...options(), eventType: 'message_type' }),
    checkpoints: postgresCheckpoints({ pool: db.pool }),
    projections: [
      {
        name: 'seen',
        batchSize: 50,
        handle: async (events, { tx }) => {
          for (const event of events) {
            await tx.query('insert into seen (position, type) values ($1, $2)', [
              String(event.global_position),
              event.message_type,
            ])
          }
        },
      },
    ],
  })

  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let n = 0; n < APPENDS; n++) {
      await store.appendToStream(`cart-${writer}-${n % 3}`, [
        { type: 'ProductAdded', data: { writer, n } },
        { type: 'PriceChanged', data: { writer, n } },
      ])
    }
  })
  await Promise.all(writers)
  await daemon.waitUntilProjected()
  await daemon.stop()
  await open.query('commit')
  await store.close()

  const { rows: seen } = await db.pool.query('select position, type from seen order by n')
  const { rows: stored } = await db.pool.query(
    'select global_position as position, message_type as type from emt_messages order by global_position',
  )
  expect(stored).toHaveLength(WRITERS * APPENDS * 2)
  expect(seen).toEqual(stored)
})
