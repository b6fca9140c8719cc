import { createDaemon } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'

// Projects $all and says "handled" with each batch. SIGTERM stops it, after which it ends by itself: nothing in here calls
// process.exit(). With checkpoints in the store it disposes of the client too, whose call for appends stays open otherwise.
const [connectionString = '', clientName, checkpointsIn, name = 'numbers'] = process.argv.slice(2)

const connect = async () => {
  if (clientName === 'eventstore') {
    const { EventStoreDBClient } = await import('@eventstore/db-client')
    return EventStoreDBClient.connectionString(connectionString)
  }
  const { KurrentDBClient } = await import('@kurrent/kurrentdb-client')
  return KurrentDBClient.connectionString(connectionString)
}

const client = (await connect()) as Awaited<
  ReturnType<typeof import('@eventstore/db-client').EventStoreDBClient.connectionString>
>
const daemon = createDaemon({
  source: esdbEvents({ client }),
  checkpoints: checkpointsIn === 'memory' ? inMemoryCheckpoints() : esdbCheckpoints({ client }),
  projections: [{ name, handle: () => console.log('handled') }],
})
process.once('SIGTERM', () => {
  void daemon.stop().then(() => (checkpointsIn === 'store' ? client.dispose() : undefined))
})
await daemon.start()
console.log('started')
