import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import { auditCommits, diagnose } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { fileDatabase } from '../../support/event-table.ts'

const db = fileDatabase()

test("Emmett's own tables are recognised, and what an audit leaves out of them is what was moved", async () => {
  const store = getPostgreSQLEventStore(db.url)
  await store.schema.migrate()
  for (let n = 0; n < 5; n++) {
    await store.appendToStream(`cart-${n}`, [{ type: 'ProductAdded', data: { n } }])
  }
  await store.close()
  const { stores, findings } = await diagnose({ pool: db.pool, sampleMs: 20, timeoutMs: 120_000 })
  expect(stores).toMatchObject([{ store: 'emmett', version: '0.42.0 to 0.42.3', schema: 'public' }])
  const [emmett] = stores
  expect(emmett?.consumerTables).toContain('public.emt_processors')
  const problems = findings.filter(({ severity }) => severity === 'problem').map(({ code }) => code)
  expect(problems).toEqual(['position_column', 'index'])

  // Archived: moved to another partition, by a transaction of its own.
  await db.pool.query('update emt_messages set is_archived = true where global_position = 2')
  if (emmett?.events === undefined) throw new TypeError('its table has a sequence')
  const { past } = await auditCommits({
    pool: db.pool,
    table: emmett.events.table,
    position: 'global_position',
    insertedBy: 'transaction_id',
    liveMs: 20,
  })
  expect(past).toMatchObject({
    rows: 5,
    leftOut: { other_transaction: 1 },
    behindXmin: { events: 4, atRisk: 0 },
  })
})
