import { setTimeout as sleep } from 'node:timers/promises'
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import type { Pool, PoolClient } from 'pg'
import { RelayHaltedError } from './errors.ts'
import type { Subjects } from './message.ts'
import { Relay } from './relay.ts'
import { openStream, warningsOf } from './stream.ts'

interface RelayParts extends Subjects {
  readonly nats: NatsConnection
  readonly js: JetStreamClient
  readonly jsm: JetStreamManager
  readonly pool: Pool
  readonly stream: string
  readonly logger: Pick<Console, 'warn' | 'error'>
}

const TRY_AGAIN_MS = 500

/** Room for the headers of a message, which count as well. */
const HEADER_BYTES = 512

/** A relay whose ledger and stream agree. It waits for a broker that is away, and compares both again whenever that comes back. */
export async function startRelay(parts: RelayParts): Promise<Relay> {
  const { nats, jsm, pool, stream, prefix, logger } = parts
  const config = await untilAnswered(logger, () => openStream(jsm, stream, prefix))
  for (const warning of warningsOf(config)) logger.warn(warning)
  const relay = new Relay({ ...parts, maxBytes: largestMessage(nats.info?.max_payload, config.max_msg_size) })
  await inTransaction(pool, (tx) => relay.prepare(tx))
  await untilAnswered(logger, () => inTransaction(pool, (tx) => relay.compare(tx)))
  void compareAgain(relay, parts)
  return relay
}

/** A broker that was restarted may have lost what it had acknowledged. Ends with the connection. */
async function compareAgain(relay: Relay, { nats, pool, logger }: RelayParts): Promise<void> {
  for await (const { type } of nats.status()) {
    if (type === 'disconnect') relay.disconnected()
    if (type !== 'reconnect') continue
    // Where this fails, the next batch compares them.
    await inTransaction(pool, (tx) => relay.compare(tx)).catch((error: unknown) =>
      logger.error('what the stream has was not compared', String(error)),
    )
  }
}

/** Of -1, nothing is said. */
function largestMessage(maxPayload = 1024 * 1024, maxMessage = -1): number {
  return (maxMessage > 0 ? Math.min(maxPayload, maxMessage) : maxPayload) - HEADER_BYTES
}

async function untilAnswered<T>(logger: RelayParts['logger'], ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof RelayHaltedError) throw error
      logger.warn('not ready yet, trying again', String(error))
      await sleep(TRY_AGAIN_MS)
    }
  }
}

async function inTransaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    client.release()
    return result
  } catch (error) {
    // A connection in an unknown state does not go back to the pool: that rolls back.
    client.release(true)
    throw error
  }
}
