import { getPostgreSQLEventStore, postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql'
import type pg from 'pg'
import { addToBalances, requireProjected, type Transfer } from '../support/balances.ts'
import { ACCOUNTS } from '../support/event-table.ts'
import { type Contender, emptyTables } from './contender.ts'

const EVENTS_PER_APPEND = 200
const INDEX = 'emt_messages_global_position'

/** Appends through Emmett's own API, to its own schema. */
export async function fillEmmett(connectionString: string, pool: pg.Pool, events: number): Promise<void> {
  const store = getPostgreSQLEventStore(connectionString)
  await store.schema.migrate()
  for (let first = 0; first < events; first += EVENTS_PER_APPEND) {
    const count = Math.min(EVENTS_PER_APPEND, events - first)
    await store.appendToStream(
      `account-${(first / EVENTS_PER_APPEND) % ACCOUNTS}`,
      Array.from({ length: count }, (_, index) => transferred(first + index + 1)),
    )
  }
  await store.close()
  // What Tidemark asks for, besides the index, when it first meets this table.
  await pool.query('alter table emt_messages alter column global_position set not null')
  await pool.query('vacuum (analyze) emt_messages')
}

function transferred(n: number) {
  return {
    type: ['Deposited', 'Withdrawn', 'Transferred'][n % 3] as string,
    data: {
      account: n % ACCOUNTS,
      amount: n % 997,
      currency: 'EUR',
      reference: n.toString(16).padStart(32, '0'),
      channel: 'web',
      note: `invoice ${n}, thank you for your business`,
      correlationId: n.toString(16).padStart(32, 'c'),
    },
  }
}

export async function setEmmettIndex(pool: pg.Pool, wanted: boolean): Promise<void> {
  if (wanted) await pool.query(`create index if not exists ${INDEX} on emt_messages (global_position)`)
  else await pool.query(`drop index if exists ${INDEX}`)
}

export interface EmmettContender {
  readonly name: string
  readonly connectionString: string
  readonly pool: pg.Pool
  readonly withIndex: boolean
  /** @default Emmett's: 100 messages, 50 ms between two pages */
  readonly pulling?: { readonly batchSize: number; readonly pullingFrequencyInMs: number }
  /** How many events the table holds, and how many of them, in its middle, are projected. */
  readonly stored: number
  readonly events: number
  readonly rounds: number
}

/**
 * Emmett's consumer with one reactor. It hands its handler one event at a time, and stores its checkpoint after each,
 * in one transaction a page. A part in the middle stands for the whole: without the index a page costs more at the
 * beginning of the table, and less at its end.
 */
export function emmett(contender: EmmettContender): Contender {
  const { connectionString, pool, withIndex, pulling, stored, events } = contender
  return {
    name: contender.name,
    rounds: contender.rounds,
    prepare: async () => {
      await emptyTables(pool, ['balances', 'emt_processors'])
      await setEmmettIndex(pool, withIndex)
    },
    run: async () => {
      const consumer = postgreSQLEventStoreConsumer({ connectionString, ...(pulling ? { pulling } : {}) })
      let handled = 0
      const reactor = consumer.reactor<{ type: string; data: Transfer; kind?: 'Event' }>({
        processorId: 'balances',
        startFrom: { lastCheckpoint: BigInt(Math.floor((stored - events) / 2)) },
        stopAfter: () => handled === events,
        eachMessage: async ({ data }, { connection }) => {
          await addToBalances(connection.client, [data])
          handled++
        },
      })
      const ended = watchEnd(reactor)
      const startedMs = performance.now()
      const running = consumer.start()
      const seconds = ((await ended) - startedMs) / 1000
      await running
      await consumer.close()
      await requireProjected(pool, events)
      return { events, seconds }
    },
  }
}

/** When the last page was committed: the consumer itself only ends after it has pulled another one. */
function watchEnd(reactor: {
  handle: (...parameters: never[]) => unknown
  readonly isActive: boolean
}): Promise<number> {
  const { handle } = reactor
  return new Promise((resolve) => {
    reactor.handle = async (...parameters) => {
      const result = await handle(...parameters)
      if (!reactor.isActive) resolve(performance.now())
      return result
    }
  })
}
