import { monitorSubscription } from '@tidemark/core'
import { esdbEvents } from '@tidemark/esdb-adapter'

// Subscribes, wraps, handles one event and leaves the loop. It ends by itself: nothing in here calls process.exit(), nor
// disposes of the client.
const [connectionString = '', clientName, stream = ''] = process.argv.slice(2)

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
const subscription = monitorSubscription({
  projection: 'mailer',
  source: esdbEvents({ client, stream }),
  headIntervalMs: 50,
}).wrap(client.subscribeToStream(stream))
for await (const { event } of subscription) {
  console.log(event?.type)
  break
}
