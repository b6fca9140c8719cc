/** The API of `bench:own-write`, in a process of its own: it appends, and waits until what it has appended is handled. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon, createProgressReader } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { machineNowMs } from './mark/writers-protocol.ts'
import type { ApiOrder, Load, OwnWrite } from './own-write/protocol.ts'
import { answerQuestions } from './support/child.ts'
import { paced } from './support/paced.ts'

interface Api {
  readonly appending: pg.Pool
  wait(position: bigint): Promise<void>
  stop(): Promise<void>
}

let api: Api | undefined

answerQuestions<ApiOrder>(async (order) => {
  if (order.kind === 'start') {
    api = await startApi(order)
    return 'started'
  }
  if (api === undefined) throw new Error('it was not started')
  if (order.kind === 'write') return await write(api, order)
  await api.stop()
  return 'stopped'
})

async function startApi({
  method,
  standsBy,
  appendAt,
  waitAt,
}: Extract<ApiOrder, { kind: 'start' }>): Promise<Api> {
  const appending = new pg.Pool({ connectionString: appendAt })
  const pool = new pg.Pool({ connectionString: waitAt })
  const checkpoints = postgresCheckpoints({ pool })
  const source = postgresEvents({ pool, table: 'events', eventType: 'type' })
  const projection = 'projection_1'
  const daemon = createDaemon({ source, checkpoints, projections: [{ name: projection, handle: () => {} }] })
  if (standsBy) {
    await daemon.start()
    while (daemon.status().projections[0]?.state !== 'standby') await sleep(10)
  }
  const reader = createProgressReader({ checkpoints, source })
  return {
    appending,
    wait: async (position) => {
      if (method === 'waitFor') await reader.waitFor({ projection, position })
      if (method === 'waitUntilProjected') await daemon.waitUntilProjected({ upTo: position })
    },
    stop: async () => {
      if (standsBy) await daemon.stop()
      await pool.end()
      await appending.end()
    },
  }
}

async function write({ appending, wait }: Api, { atOnce, ...pace }: Load): Promise<OwnWrite[]> {
  const writes: Promise<OwnWrite>[] = []
  const append = async (n: number): Promise<void> => {
    const { rows } = await appending.query<{ position: string }>(
      `insert into events (stream, type, data) values ($1, 'Deposited', jsonb_build_object('n', $2::int))
       returning position::text`,
      [`stream-${n}`, n],
    )
    const committedAtMs = machineNowMs()
    const waited = wait(BigInt(rows[0]?.position ?? '')).then(() => ({
      n,
      committedAtMs,
      waitedUntilMs: machineNowMs(),
    }))
    writes.push(waited)
  }
  await paced({ ...pace, most: WRITERS }, (tick) =>
    Promise.all(Array.from({ length: atOnce }, (_, index) => append(tick * atOnce + index))),
  )
  return await Promise.all(writes)
}

const WRITERS = 4
