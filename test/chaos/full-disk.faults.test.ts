import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { ownServer } from '../support/database.ts'
import { fileDatabase } from '../support/event-table.ts'
import { because, isSkipped, type SmallDisk, smallDisk } from './small-disk.ts'
import { expectBlameless, expectUnburied } from './stages.ts'

/** Every table here, with those of Tidemark, is on a disk of its own. */
describe.skipIf(isSkipped)(`on a disk that is full${because}`, () => {
  let server: EmbeddedPostgres
  let disk: SmallDisk

  beforeAll(async () => {
    disk = smallDisk()
    server = await ownServer()
    const client = new Client(server.url)
    await client.connect()
    try {
      await client.query(`create tablespace small location '${disk.folder}'`)
      await client.query('alter system set default_tablespace = small')
      await client.query('select pg_reload_conf()')
    } finally {
      await client.end()
    }
  })
  afterEach(() => disk.free())
  afterAll(async () => {
    await server?.dispose()
    disk?.unmount()
  })

  const db = fileDatabase(() => server.url)

  test('no event is blamed for a read model that cannot grow, whatever the policy, and work goes on once there is room', () =>
    expectBlameless(db, {
      stage: 'handle',
      says: { code: '53100', message: /No space left on device/ },
      breaks: async () => disk.fill(),
      mends: async () => disk.free(),
    }))

  test('no event is given up without its dead letter, which is written once there is room', () =>
    expectUnburied(db, { code: '53100', breaks: () => disk.fill(), mends: () => disk.free() }))
})
