import type { Projection } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgSchema, text } from 'drizzle-orm/pg-core'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import type { PoolClient } from 'pg'
import { describe, expect, test } from 'vitest'
import { eventually, fileDatabase, startDaemon } from '../support/event-table.ts'

const db = fileDatabase()

type Handle = Projection<{ readonly type: string }, PoolClient>['handle']

/** A projection that writes the event's types into the table `written`, over two events. */
async function projecting(handleFor: (schema: string) => Handle) {
  const events = await db.events()
  await events.run('create table written (type text)')
  await events.append(2)
  const daemon = await startDaemon({
    source: postgresEvents<{ readonly type: string }>({ pool: db.pool, table: events.name }),
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: events.schema }),
    projections: [{ name: 'written', attempts: 1, handle: handleFor(events.schema) }],
  })
  const query = async (sql: string) => (await db.pool.query(sql)).rows
  return {
    status: () => daemon.status().projections[0],
    isProjected: () => daemon.waitUntilProjected(),
    /** Whether each row came with the checkpoint, in its transaction. */
    rows: () =>
      query(`select w.xmin::text = c.xmin::text as with_checkpoint
        from ${events.schema}.written w, ${events.schema}.checkpoints c`),
  }
}

const BOTH = [{ with_checkpoint: true }, { with_checkpoint: true }]

/** As `docs/first-week.md` has it. */
function kyselyOn(tx: PoolClient): Kysely<Record<string, { type: string }>> {
  const connection = { query: tx.query.bind(tx), release: () => {} }
  const pool = { connect: async () => connection, end: async () => {} }
  return new Kysely({ dialect: new PostgresDialect({ pool: pool as never }) })
}

const builder = knex({ client: 'pg' })

/** What each of them writes through `tx`, outside a transaction of its own and inside. */
const ORMS: Readonly<
  Record<string, { plain(schema: string): Handle; ownTransaction(schema: string): Handle }>
> = {
  drizzle: {
    plain:
      (schema) =>
      async (events, { tx }) => {
        await drizzle(tx)
          .insert(tableOf(schema))
          .values([...events])
      },
    ownTransaction:
      (schema) =>
      async (events, { tx }) => {
        await drizzle(tx).transaction((own) => own.insert(tableOf(schema)).values([...events]))
      },
  },
  kysely: {
    plain:
      (schema) =>
      async (events, { tx }) => {
        await kyselyOn(tx)
          .insertInto(`${schema}.written`)
          .values(events.map(({ type }) => ({ type })))
          .execute()
      },
    ownTransaction:
      (schema) =>
      async (events, { tx }) => {
        await kyselyOn(tx)
          .transaction()
          .execute((own) =>
            own
              .insertInto(`${schema}.written`)
              .values(events.map(({ type }) => ({ type })))
              .execute(),
          )
      },
  },
  knex: {
    plain:
      (schema) =>
      async (events, { tx }) => {
        await builder(`${schema}.written`)
          .insert(events.map(({ type }) => ({ type })))
          .connection(tx)
      },
    ownTransaction:
      (schema) =>
      async (events, { tx }) => {
        await builder.transaction(
          (own) => own(`${schema}.written`).insert(events.map(({ type }) => ({ type }))),
          { connection: tx },
        )
      },
  },
}

function tableOf(schema: string) {
  return pgSchema(schema).table('written', { type: text('type') })
}

describe.each(Object.entries(ORMS))(
  '%s over the transaction of a handler',
  (_, { plain, ownTransaction }) => {
    test('writes in the transaction that moves the checkpoint', async () => {
      const { isProjected, rows } = await projecting(plain)
      await isProjected()
      expect(await rows()).toEqual(BOTH)
    })

    test('its transaction() ends the one that it was given: found, and the projection is paused', async () => {
      const { status } = await projecting(ownTransaction)
      await eventually(status).toMatchObject({
        state: 'paused',
        error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' },
      })
    })
  },
)
