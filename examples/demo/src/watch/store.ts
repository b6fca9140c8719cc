import type pg from 'pg'
import { newEvent } from '../event.ts'
import { Ledger } from '../ledger.ts'
import { Random } from '../random.ts'
import { appendRows, createEventTable } from '../tables.ts'
import type { Append } from '../writers/writer-session.ts'
import { appendToEmmett } from './emmett.ts'
import { LOOPS_TABLE } from './loop.ts'

/** A table of events that is written to, with what its writers know. */
export interface Store {
  readonly name: string
  readonly append: Append
  readonly ledger: Ledger
  /** Every committed position. */
  committed(pool: pg.Pool): Promise<readonly number[]>
}

export async function createTables(admin: pg.Client, schema: string): Promise<void> {
  await createEventTable(admin, schema)
  await admin.query(`
    create table ${schema}.${LOOPS_TABLE} (name text primary key, position bigint not null);
    create table ${schema}.reports (title text not null)`)
}

export function ownStore(schema: string): Store {
  return storeOf('events', appendRows(schema), `select position from ${schema}.events`)
}

export function emmettStore(): Store {
  return storeOf('emt_messages', appendToEmmett, 'select global_position as position from emt_messages')
}

function storeOf(name: string, append: Append, positions: string): Store {
  return {
    name,
    append,
    ledger: new Ledger(),
    committed: async (pool) => {
      const { rows } = await pool.query<{ position: string }>(positions)
      return rows.map(({ position }) => Number(position))
    },
  }
}

/** One event while nothing else is open: whoever has handled it has come to the end. */
export async function appendClosingEvent(store: Store, client: pg.Client): Promise<number> {
  const [position] = await store.append(client, [newEvent(new Random())])
  if (position === undefined) throw new Error(`nothing could be appended to ${store.name}`)
  return position
}
