import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { type CheckpointStore, createDaemon, type EventSource } from '@tidemark/core'
import { type EsdbClient, type EsdbEvent, esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { Pool, type PoolClient } from 'pg'

// Daemons over $all, a stream and a filtered $all as a process of its own, into the table `handled`
// (test/esdb-adapter/chaos/rig.ts). It says on standard output what it is at, a word a line, and ends by itself after
// SIGTERM: nothing in here calls process.exit().
const { values: options } = parseArgs({
  options: {
    /** `eventstore` or `kurrentdb`. */
    client: { type: 'string', default: '' },
    esdb: { type: 'string', default: '' },
    url: { type: 'string', default: '' },
    /** `postgres`, in the transaction of the effects, or `esdb`. */
    checkpoints: { type: 'string', default: 'postgres' },
    /** How long a call may go without an answer before it is given up. */
    'timeout-ms': { type: 'string', default: '30000' },
    /** How long a batch takes before it is written, and then before it is committed. */
    'handle-ms': { type: 'string', default: '0' },
  },
})

const pool = new Pool({ connectionString: options.url })
const client = await connect()
const source = { client, timeoutMs: Number(options['timeout-ms']) }
const checkpoints: CheckpointStore<PoolClient | undefined> =
  options.checkpoints === 'esdb' ? esdbCheckpoints(source) : postgresCheckpoints({ pool })
const daemons = [
  daemon('all', 100, esdbEvents(source)),
  daemon('stream', 40, esdbEvents({ ...source, stream: 'orders' })),
  daemon(
    'filtered',
    15,
    esdbEvents({ ...source, name: 'customers', filter: { filterOn: 'streamName', prefixes: ['customer-'] } }),
  ),
]

function daemon<P>(name: string, batchSize: number, events: EventSource<P, EsdbEvent>) {
  return createDaemon<P, EsdbEvent, PoolClient | undefined>({
    source: events,
    checkpoints,
    logger: console,
    projections: [
      {
        name,
        batchSize,
        handle: async (batch, { tx = pool }) => {
          const records = batch.flatMap(({ event }) => event ?? [])
          console.log('handling')
          await pause()
          await tx.query(
            `insert into handled (projection, batch, position, id)
             select $1, $2, e.position, e.id from unnest($3::text[], $4::text[]) with ordinality as e (position, id, n)
             order by e.n`,
            [
              name,
              randomUUID(),
              records.map(({ revision, streamId }) => `${revision}@${streamId}`),
              records.map(({ id }) => id),
            ],
          )
          console.log('written')
          await pause()
        },
      },
    ],
  })
}

async function pause(): Promise<void> {
  const handleMs = Number(options['handle-ms'])
  if (handleMs > 0) await new Promise((resolve) => setTimeout(resolve, handleMs))
}

type OwnedClient = EsdbClient & Parameters<typeof esdbCheckpoints>[0]['client'] & { dispose(): Promise<void> }

async function connect(): Promise<OwnedClient> {
  if (options.client === 'kurrentdb') {
    const { KurrentDBClient } = await import('@kurrent/kurrentdb-client')
    return KurrentDBClient.connectionString(options.esdb)
  }
  const { EventStoreDBClient } = await import('@eventstore/db-client')
  return EventStoreDBClient.connectionString(options.esdb)
}

const onSignal = (): void => void stop()
async function stop(): Promise<void> {
  process.removeListener('SIGTERM', onSignal)
  await Promise.all(daemons.map((running) => running.stop()))
  await client.dispose()
  await pool.end()
}
process.on('SIGTERM', onSignal)

for (const starting of daemons) await starting.start()
console.log('started')
