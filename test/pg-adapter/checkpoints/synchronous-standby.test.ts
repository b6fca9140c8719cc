import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import {
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../../support/event-table.ts'

let server: EmbeddedPostgres
beforeAll(async () => {
  server = await ownServer()
})
afterAll(() => server.dispose())
const db = fileDatabase(() => server.url)

test('a COMMIT that waits for a synchronous standby is said to be its own, and takes effect once', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  // Its own commits wait for nobody.
  const admin = await db.session({ options: '-c synchronous_commit=local' })
  const setStandbys = async (names: string) => {
    await admin.query(`alter system set synchronous_standby_names = '${names}'`)
    await admin.query('select pg_reload_conf()')
    await eventually(async () => (await admin.query('show synchronous_standby_names')).rows).toEqual([
      { synchronous_standby_names: names },
    ])
  }
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: events.schema, queryTimeoutMs: 1_500 }),
    projections: [recorder(events, 'waiting')],
  })
  await daemon.waitUntilProjected()
  // Otherwise a failure would leave every further commit waiting.
  onTestFinished(() => setStandbys(''))
  await setStandbys('nobody')
  await admin.query(`insert into ${events.name} default values`)
  await eventually(() => daemon.status().projections[0]).toMatchObject({
    state: 'retrying',
    error: {
      code: 'TIDEMARK_COMMIT_PENDING',
      projection: 'waiting',
      message: expect.stringMatching(
        /server process \d+, which waits for IPC SyncRep: no synchronous standby confirms it/,
      ),
    },
  })
  await setStandbys('')
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'waiting')).toEqual([1n])
})
