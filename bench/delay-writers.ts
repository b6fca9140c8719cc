/** The writers of `bench:delay`, in a process of their own so that their event loop is not that of the daemon. */
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import pg from 'pg'
import type { Appended, AppendOrder } from './delay/protocol.ts'
import { machineNowMs } from './mark/writers-protocol.ts'
import { answerQuestions } from './support/child.ts'
import { paced } from './support/paced.ts'

const WRITERS = 4
/** Above it, each append has several events. */
const MOST_APPENDS_A_SECOND = 500

/** Appends `count` events that are numbered from `first`. */
type Append = (first: number, count: number) => Promise<unknown>

answerQuestions(write)

async function write(order: AppendOrder): Promise<Appended[]> {
  const { append, end } = order.store === 'emmett' ? toEmmett(order) : toTable(order)
  const perAppend = Math.ceil(order.rate / MOST_APPENDS_A_SECOND)
  const appended: Appended[] = []
  const pace = { perSecond: order.rate / perAppend, seconds: order.seconds, most: WRITERS }
  await paced(pace, async (index) => {
    const first = index * perAppend
    await append(first, perAppend)
    const atMs = machineNowMs()
    for (let i = 0; i < perAppend; i++) appended.push({ n: first + i, atMs })
  })
  await end()
  return appended
}

function toTable(order: AppendOrder): { append: Append; end: () => Promise<void> } {
  const pool = new pg.Pool({ connectionString: order.connectionString, max: WRITERS })
  const text = insertAnd(order)
  return {
    append: (first, count) => pool.query(text, [first, first + count - 1]),
    end: () => pool.end(),
  }
}

function insertAnd({ store, channel, types }: AppendOrder): string {
  const type = types === undefined ? "'Deposited'" : `'type-' || n % ${types}`
  const insert = `insert into events (stream, type, data)
    select 'stream-' || n, ${type}, jsonb_build_object('n', n) from generate_series($1::int, $2::int) n`
  if (store === 'table and jobs') {
    return `with i as (${insert})
      select graphile_worker.add_job('appended', json_build_object('first', $1::int, 'last', $2::int))`
  }
  return channel === undefined ? insert : `with i as (${insert}) select pg_notify('${channel}', '')`
}

function toEmmett({ connectionString }: AppendOrder): { append: Append; end: () => Promise<void> } {
  const store = getPostgreSQLEventStore(connectionString)
  return {
    append: (first, count) =>
      store.appendToStream(
        `stream-${first}`,
        Array.from({ length: count }, (_, i) => ({ type: 'Deposited', data: { n: first + i } })),
      ),
    end: () => store.close(),
  }
}
