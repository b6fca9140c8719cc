import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import { emmett } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { fileDatabase, refusal } from '../support/event-table.ts'
import { startProjection, startWatch, storedPositions } from './scenario.ts'

const db = fileDatabase()

const WRITERS = 6
const APPENDS = 30
const STATEMENT = /(CREATE INDEX|ALTER TABLE)[^;\n]*/g

test("projects Emmett's own tables, appended to by Emmett while another transaction stays open", async () => {
  const store = getPostgreSQLEventStore(db.url)
  onTestFinished(() => store.close())
  await store.schema.migrate()
  const preset = emmett({ schema: 'public' })
  // Watched as they are.
  const watch = await startWatch(db, preset)

  // Refused first, with the statements to run.
  const { message } = await refusal({ pool: db.pool, ...preset.events })
  const statements = message.match(STATEMENT) ?? []
  expect(statements).toEqual([
    'ALTER TABLE public.emt_messages ALTER COLUMN "global_position" SET NOT NULL',
    'CREATE INDEX ON "public"."emt_messages" ("global_position")',
  ])
  for (const statement of statements) await db.pool.query(statement)
  const { daemon, handled } = await startProjection(db, preset)

  const open = await db.session()
  await open.query('begin')
  await open.query('create temporary table written_elsewhere (a int)')

  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let n = 0; n < APPENDS; n++) {
      await store.appendToStream(`cart-${writer}-${n % 3}`, [
        { type: 'ProductAdded', data: { writer, n } },
        { type: 'PriceChanged', data: { writer, n } },
      ])
    }
  })
  await Promise.all(writers)
  // What Emmett's consumers do not read is not projected either.
  await db.pool.query(
    `select emt_add_partition('other');
     insert into emt_messages select (jsonb_populate_record(m, jsonb_build_object(
       'partition', 'other', 'global_position', nextval('emt_global_message_position')))).* from emt_messages m limit 1`,
  )
  await daemon.waitUntilProjected()
  await open.query('commit')

  expect(handled).toEqual(await storedPositions(db, preset.events))
  expect(handled).toHaveLength(WRITERS * APPENDS * 2)
  expect(daemon.status().highWater).toMatchObject({ state: 'polling' })
  expect(watch.lost()).toEqual([])
  expect(watch.status().error).toBeUndefined()
})
