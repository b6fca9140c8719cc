/** A daemon of `bench:shards`, in a process of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { machineNowMs } from './mark/writers-protocol.ts'
import { KeyOrder } from './shards/key-order.ts'
import type { ShardsOrder, ShardsReport } from './shards/protocol.ts'
import { spin } from './shards/spin.ts'
import { answerQuestions } from './support/child.ts'

/** For a poll, a wait for the next number, and a look at what operators want. */
const FURTHER_CONNECTIONS = 4

answerQuestions<ShardsOrder>(async (order) => ({ ...(await handleAll(order)) }))

async function handleAll({ connectionString, shards, index, of, work }: ShardsOrder): Promise<ShardsReport> {
  const pool = new pg.Pool({ connectionString, max: 2 * shards + FURTHER_CONNECTIONS })
  const order = new KeyOrder()
  let firstAtMs: number | undefined
  let lastAtMs = 0
  let handled = 0
  let spun = 0
  const daemon = createDaemon({
    source: postgresEvents({
      pool,
      table: 'events',
      columns: ['key', 'number'],
      mapRow: ({ key, number }) => ({ key: String(key), number: Number(number) }),
    }),
    checkpoints: postgresCheckpoints({ pool }),
    nodes: { index, of },
    projections: [
      {
        name: 'measured',
        shards,
        shardBy: 'key',
        handle: async (events) => {
          firstAtMs ??= machineNowMs()
          for (const event of events) {
            if (work.kind === 'wait') await sleep(work.ms)
            else spun ^= spin(work.turns)
            order.see(event)
          }
        },
      },
    ],
    telemetry: {
      batchProcessed: ({ events }) => {
        handled += events
        lastAtMs = machineNowMs()
      },
    },
  })
  const before = process.cpuUsage()
  await daemon.start()
  await daemon.waitUntilProjected()
  const { user, system } = process.cpuUsage(before)
  const [measured] = daemon.status().projections
  const each = measured?.shards?.map(({ handledEvents }) => handledEvents) ?? [handled]
  await daemon.stop()
  await pool.end()
  if (firstAtMs === undefined) throw new Error('no event was dealt to this process')
  return {
    firstAtMs,
    lastAtMs,
    handled,
    byShard: each.filter((events) => events > 0),
    outOfOrder: order.outOfOrder,
    cpuSeconds: (user + system) / 1e6,
    spun,
  }
}
