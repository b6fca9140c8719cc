import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import type { ChaosStore } from './store.ts'

/** The loop that people write: what is above the last position, in order, and the checkpoint in the handler's transaction. */
export interface PlainLoop {
  readonly name: string
  /** Rejects where its server has gone. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

const LOOPS = 'create table if not exists loops (name text primary key, position bigint not null)'

interface LoopOptions {
  readonly name: string
  readonly pauseMs?: number
  /** How long each handling of a page takes. */
  readonly handlerMs?: number
}

/** Reads its checkpoint before each page, as a loop does that may be moved by hand. */
export async function startPlainLoop(
  store: ChaosStore,
  { name, pauseMs = 5, handlerMs = 0 }: LoopOptions,
): Promise<PlainLoop> {
  await store.query(LOOPS)
  await store.query('insert into loops values ($1, 0) on conflict do nothing', [name])
  const client = await store.connect()
  let isStopped = false
  const round = async (): Promise<void> => {
    await client.query('begin')
    const { rows } = await client.query('select position from loops where name = $1', [name])
    const after = rows[0]?.position ?? '0'
    const page = await client.query(
      'select position::text, id from events where position > $1 order by position limit 100',
      [after],
    )
    const last = page.rows.at(-1)?.position
    if (last !== undefined) {
      await client.query(
        `insert into handled (projection, position, id, process)
         select $1, p, i, 0 from unnest($2::bigint[], $3::text[]) as u (p, i)`,
        [name, page.rows.map((row) => row.position), page.rows.map((row) => row.id)],
      )
      await sleep(handlerMs)
      await client.query(
        'insert into loops values ($1, $2) on conflict (name) do update set position = excluded.position where loops.position = $3',
        [name, last, after],
      )
    }
    await client.query('commit')
  }
  const running = (async () => {
    while (!isStopped) {
      await round()
      await sleep(pauseMs)
    }
  })()
  running.catch(() => {})
  const stop = async (): Promise<void> => {
    isStopped = true
    await running
    await client.end().catch(() => {})
  }
  onTestFinished(() => stop().catch(() => {}))
  return { name, ended: running, stop }
}
