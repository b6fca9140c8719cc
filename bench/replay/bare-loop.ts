import type pg from 'pg'
import { addToBalances, requireProjected } from '../support/balances.ts'
import { toTransfer } from '../support/event-table.ts'
import { type Contender, emptyTables, timed } from './contender.ts'

export const CREATE_LOOP_CHECKPOINTS = `
  create table loop_checkpoints (projection text primary key, position bigint not null,
    updated_at timestamptz not null default now())`

export interface BareLoopContender {
  readonly pool: pg.Pool
  readonly pageSize: number
  /** @default every event */
  readonly eventTypes?: readonly string[]
  /** How many there are to handle. */
  readonly handled: number
  /** How many of them are counted: those that are looked through. */
  readonly events: number
  readonly rounds: number
}

/** What one would write by hand: the next page by its key, the work and the checkpoint in one transaction. */
export function bareLoop({
  pool,
  pageSize,
  eventTypes,
  handled,
  events,
  rounds,
}: BareLoopContender): Contender {
  return {
    name: `bare loop, pages of ${pageSize}`,
    rounds,
    prepare: async () => {
      await emptyTables(pool, ['balances', 'loop_checkpoints'])
      await pool.query(`insert into loop_checkpoints (projection, position) values ('balances', 0)`)
    },
    run: async () => {
      const client = await pool.connect()
      const seconds = await timed(() => loop(client, pageSize, eventTypes))
      await requireProjected(client, handled)
      client.release()
      return { events, seconds }
    },
  }
}

async function loop(
  client: pg.PoolClient,
  pageSize: number,
  eventTypes: readonly string[] | undefined,
): Promise<void> {
  const ofTypes = eventTypes === undefined ? '' : 'and type = any ($3)'
  let position = '0'
  for (;;) {
    const { rows } = await client.query<{ position: string }>(
      `select position, stream, type, data, created_at from events
       where position > $1 ${ofTypes} order by position limit $2`,
      [position, pageSize, ...(eventTypes === undefined ? [] : [eventTypes])],
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
