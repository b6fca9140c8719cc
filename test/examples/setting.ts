import type { StreamConfig } from '@nats-io/jetstream'
import type { Pool, PoolClient } from 'pg'
import { onTestFinished } from 'vitest'
import { type RelayedEvent, toEvent } from '../../examples/jetstream-relay/src/event.ts'
import type { Relay } from '../../examples/jetstream-relay/src/relay.ts'
import { startRelay } from '../../examples/jetstream-relay/src/start-relay.ts'
import { type TestDatabase, testDatabase } from '../support/database.ts'
import { EVENTS } from './events.ts'
import { type Clients, type Nats, type NatsOptions, startNats } from './nats.ts'

export const STREAM = 'EVENTS'

/** A table of events, a broker, and a connection to each. */
export interface Setting {
  readonly database: TestDatabase
  readonly broker: Nats
  readonly clients: Clients
  /** What relays have warned of. */
  readonly warnings: readonly string[]
  /** A relay that has compared ledger and stream; `by`: over these clients instead. */
  relay(by?: Partial<Clients>): Promise<Relay>
}

export async function setting(stream?: Partial<StreamConfig>, options?: NatsOptions): Promise<Setting> {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  await database.pool.query(EVENTS)
  const broker = await startNats(options)
  const clients = await broker.connect()
  if (stream) await clients.jsm.streams.add({ name: STREAM, subjects: ['events.>'], ...stream })
  const warnings: string[] = []
  const logger = { warn: (line: string) => warnings.push(line), error: () => {} }
  const relay = (by: Partial<Clients> = {}): Promise<Relay> =>
    startRelay({
      ...clients,
      ...by,
      pool: database.pool,
      stream: STREAM,
      prefix: 'events',
      partitions: 2,
      logger,
    })
  return { database, broker, clients, warnings, relay }
}

/** Hands over all events above that position in one transaction, as a daemon does. */
export async function handOver(
  pool: Pool,
  relay: Relay,
  { above = 0n, end = 'commit' }: { readonly above?: bigint; readonly end?: 'commit' | 'rollback' } = {},
): Promise<void> {
  const tx = await pool.connect()
  try {
    await tx.query('begin')
    await relay.send(await eventsAbove(tx, above), tx)
    await tx.query(end)
  } catch (error) {
    await tx.query('rollback')
    throw error
  } finally {
    tx.release()
  }
}

async function eventsAbove(tx: PoolClient, position: bigint): Promise<readonly RelayedEvent[]> {
  const { rows } = await tx.query('select * from events where position > $1 order by position', [position])
  return rows.map(toEvent)
}
