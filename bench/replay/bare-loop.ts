import type pg from 'pg'
import { addToBalances, requireProjected } from '../support/balances.ts'
import { toTransfer } from '../support/event-table.ts'
import { type Contender, emptyTables, timed } from './contender.ts'

export const CREATE_LOOP_CHECKPOINTS = `
  create table loop_checkpoints (projection text primary key, position bigint not null,
    updated_at timestamptz not null default now())`

/** What one would write by hand: the next page by its key, the work and the checkpoint in one transaction. */
export function bareLoop(pool: pg.Pool, pageSize: number, events: number, rounds: number): Contender {
  return {
    name: `bare loop, pages of ${pageSize}`,
    rounds,
    prepare: async () => {
      await emptyTables(pool, ['balances', 'loop_checkpoints'])
      await pool.query(`insert into loop_checkpoints (projection, position) values ('balances', 0)`)
    },
    run: async () => {
      const client = await pool.connect()
      const seconds = await timed(() => loop(client, pageSize))
      await requireProjected(client, events)
      client.release()
      return { events, seconds }
    },
  }
}

async function loop(client: pg.PoolClient, pageSize: number): Promise<void> {
  let position = '0'
  for (;;) {
    const { rows } = await client.query<{ position: string }>(
      'select position, stream, type, data, created_at from events where position > $1 order by position limit $2',
      [position, pageSize],
    )
    const last = rows.at(-1)
    if (last === undefined) return
    await client.query('begin')
    await addToBalances(client, rows.map(toTransfer))
    await client.query(
      `update loop_checkpoints set position = $2, updated_at = clock_timestamp() where projection = $1`,
      ['balances', last.position],
    )
    await client.query('commit')
    position = last.position
  }
}
