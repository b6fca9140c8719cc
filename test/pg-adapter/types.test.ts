import { Pool as NeonPool, type PoolClient as NeonPoolClient } from '@neondatabase/serverless'
import { type CheckpointStore, createDaemon } from '@tidemark/core'
import { type PgClient, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { describe, expectTypeOf, test } from 'vitest'

/** What a handler gets of the checkpoints of that pool. */
type TxOf<Store> = Store extends CheckpointStore<infer Tx> ? Tx : never

describe('a handler gets the client that the pool gives', () => {
  test('of pg', () => {
    const checkpoints = postgresCheckpoints({ pool: new pg.Pool() })
    expectTypeOf<TxOf<typeof checkpoints>>().toEqualTypeOf<pg.PoolClient>()
  })

  test("of Neon's serverless driver", () => {
    const checkpoints = postgresCheckpoints({ pool: new NeonPool() })
    expectTypeOf<TxOf<typeof checkpoints>>().toEqualTypeOf<NeonPoolClient>()
  })

  test('of a wrapper around PGlite, or any pool whose connect gives a promise alone', () => {
    interface PgliteClient extends PgClient {
      readonly pglite: { exec(sql: string): Promise<unknown> }
    }
    const pool: { connect(): Promise<PgliteClient> } = {
      connect: () => Promise.reject(new Error('typed only')),
    }
    const checkpoints = postgresCheckpoints({ pool })
    expectTypeOf<TxOf<typeof checkpoints>>().toEqualTypeOf<PgliteClient>()
  })

  test('of a class that takes an own callback first', () => {
    class CallbackFirst {
      connect(callback: (client: PgClient) => void): void
      connect(): Promise<pg.PoolClient>
      connect(): Promise<pg.PoolClient> {
        return Promise.reject(new Error('typed only'))
      }
    }
    const checkpoints = postgresCheckpoints({ pool: new CallbackFirst() })
    expectTypeOf<TxOf<typeof checkpoints>>().toEqualTypeOf<pg.PoolClient>()
  })

  test('in the projections of a daemon, without a type argument', () => {
    const pool = new pg.Pool()
    createDaemon({
      source: postgresEvents({ pool, table: 'events' }),
      checkpoints: postgresCheckpoints({ pool }),
      projections: [
        {
          name: 'inline',
          handle: (_, { tx }) => {
            expectTypeOf(tx).toEqualTypeOf<pg.PoolClient>()
          },
        },
      ],
    })
  })

  test('and a pool that gives no such client is refused', () => {
    const pool = { connect: async () => ({ query: async (_: string) => [] }) }
    // @ts-expect-error neither release nor on
    void (() => postgresCheckpoints({ pool }))
  })
})

describe('where typeField says which field of the mapped events is their type, a handler is given', () => {
  type Deposited = { readonly type: 'Deposited'; readonly amount: number }
  type Withdrawn = { readonly type: 'Withdrawn'; readonly to: string }
  const pool = new pg.Pool()
  const mapRow = ({ data }: PostgresRow): Deposited | Withdrawn => data as Deposited | Withdrawn

  test('the events of its types alone', () => {
    createDaemon({
      source: postgresEvents({ pool, table: 'events', eventType: 'type', mapRow, typeField: 'type' }),
      checkpoints: postgresCheckpoints({ pool }),
      projections: [
        {
          name: 'deposits',
          eventTypes: ['Deposited'],
          handle: async (events, { tx }) => {
            expectTypeOf(events).toEqualTypeOf<readonly Deposited[]>()
            expectTypeOf(tx).toEqualTypeOf<pg.PoolClient>()
          },
        },
        {
          name: 'all',
          handle: (events) => {
            expectTypeOf(events).toEqualTypeOf<readonly (Deposited | Withdrawn)[]>()
          },
        },
      ],
    })
  })

  test('and without it, or without mapRow, all that there are', () => {
    createDaemon({
      source: postgresEvents({ pool, table: 'events', eventType: 'type', mapRow: (row) => mapRow(row) }),
      checkpoints: postgresCheckpoints({ pool }),
      projections: [
        {
          name: 'deposits',
          eventTypes: ['Deposited'],
          handle: (events) => {
            expectTypeOf(events).toEqualTypeOf<readonly (Deposited | Withdrawn)[]>()
          },
        },
      ],
    })
    createDaemon({
      source: postgresEvents({ pool, table: 'events', eventType: 'type' }),
      checkpoints: postgresCheckpoints({ pool }),
      projections: [
        {
          name: 'rows',
          eventTypes: ['Deposited'],
          handle: (events) => {
            expectTypeOf(events).toEqualTypeOf<readonly PostgresRow[]>()
          },
        },
      ],
    })
  })
})
