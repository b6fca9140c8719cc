import { unitKey, wholeUnit } from '@tidemark/core/adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { hasPgBouncer, type PgBouncer, startPgBouncer } from '@tidemark-internal/embedded-postgres/pgbouncer'
import { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ownServer } from '../../support/database.ts'
import { checkpointsBeside, eventually, fileDatabase } from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const ORDERS = wholeUnit('orders')

describe.skipIf(!hasPgBouncer)('through PgBouncer in transaction mode', () => {
  let server: EmbeddedPostgres
  let pooler: PgBouncer
  beforeAll(async () => {
    server = await ownServer()
  })
  afterAll(() => server.dispose())
  const db = fileDatabase(() => server.url)
  beforeAll(async () => {
    pooler = await startPgBouncer(server, { default_pool_size: '2' })
  })
  afterAll(() => pooler.stop())

  test('units are claimed, and taken over once a lease has expired: a backend of the pooler makes nobody present', async () => {
    const { schema } = await db.events()
    const pooled = () => {
      const pool = new Pool({ connectionString: pooler.connectionString(new URL(db.url).pathname.slice(1)) })
      pool.on('error', () => {})
      onTestFinished(() => pool.end())
      const store = checkpointsBeside({ schema, name: '', run: async () => {}, append: async () => 0n }, pool)
      if (store.leases === undefined) throw new Error('Postgres has leases')
      return { store, leases: store.leases }
    }
    const [first, second] = [pooled(), pooled()]
    await first.store.prepare?.(never())
    await first.store.open(ORDERS, { source: 'events', head: undefined }, never())
    const renew = ({ leases }: typeof first, id: string, leaseMs: number) =>
      leases.renew({
        node: {
          id,
          name: id,
          source: 'events',
          capacity: 1,
          units: [unitKey(ORDERS)],
          unable: [],
          isLeaving: false,
        },
        leaseMs,
        signal: never(),
      })
    await renew(first, 'first', 60_000)
    await renew(second, 'second', 60_000)
    const over = new AbortController()
    onTestFinished(() => over.abort())
    const request = { node: 'first', source: 'events', onHint: () => {}, signal: over.signal }
    expect(await first.leases.presence?.(request)).toMatchObject({ isSeen: false })
    const { nodes } = await renew(second, 'second', 60_000)
    expect(nodes.map(({ presence }) => presence)).toEqual([{ is: 'unknown' }, { is: 'unknown' }])
    const claim = ({ leases }: typeof first, node: string, fence: bigint) =>
      leases.claim({ node, claims: [{ unit: ORDERS, fence, gone: undefined }], signal: never() })
    const [lease] = await claim(first, 'first', 0n)
    expect(lease?.fence).toBe(1n)
    expect(await claim(second, 'second', 1n)).toEqual([])
    await renew(first, 'first', 1)
    await eventually(() => claim(second, 'second', 1n)).toEqual([{ unit: ORDERS, fence: 2n }])
  })
})
