import { setTimeout as sleep } from 'node:timers/promises'
import { AckPolicy, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, nanos } from '@nats-io/transport-node'
import pg from 'pg'
import { readSettings } from './settings.ts'

// Start it as often as you like, on as many machines as there are. Each partition has a consumer of its own at the broker, which
// hands out one message at a time: the next one comes when that is acknowledged, whichever process has got it. So the messages of
// a subject are handled in their order, and partitions spread.
const settings = readSettings()
const ackWaitMs = Number(process.env.ACK_WAIT_MS ?? 30_000)
const pool = new pg.Pool({ connectionString: settings.databaseUrl, max: 4 })
const nats = await connect({
  name: 'jetstream-consumer',
  servers: settings.natsUrl,
  waitOnFirstConnect: true,
  maxReconnectAttempts: -1,
})
const jsm = await jetstreamManager(nats, { checkAPI: false })
const js = jetstream(nats)
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopping.abort())

await pool.query(`
  create table if not exists received (
    message_id text primary key, subject text not null, body jsonb not null, arrival bigint generated always as identity
  )`)
console.log('consuming; Ctrl-C stops it')
await Promise.all(Array.from({ length: settings.partitions }, (_, partition) => consume(partition)))
await nats.close()
await pool.end()

async function consume(partition: number): Promise<void> {
  while (!stopping.signal.aborted) {
    try {
      const consumer = await open(partition)
      while (!stopping.signal.aborted) {
        const message = await consumer.next({ expires: 1_000 })
        if (!message) continue
        await handle(message)
        await message.ackAck()
      }
    } catch (error) {
      // Not acknowledged: it comes again after `ackWaitMs`, before the next one.
      console.error(`partition ${partition} tries again`, String(error))
      await sleep(500)
    }
  }
}

async function open(partition: number) {
  const durable = `partition-${partition}`
  await jsm.consumers.add(settings.stream, {
    durable_name: durable,
    filter_subject: `${settings.prefix}.${partition}.>`,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    // This is what keeps the order.
    max_ack_pending: 1,
  })
  return js.consumers.get(settings.stream, durable)
}

/** A message may come twice, also to two processes at once where handling takes longer than `ackWaitMs`: its id tells. */
async function handle(message: JsMsg): Promise<void> {
  await pool.query(
    'insert into received (message_id, subject, body) values ($1, $2, $3) on conflict (message_id) do nothing',
    [message.headers?.get('Nats-Msg-Id'), message.subject, message.string()],
  )
}
