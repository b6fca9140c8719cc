import {
  KurrentDBClient,
  PersistentSubscriptionExistsError,
  persistentSubscriptionToStreamSettingsFromDefaults,
} from '@kurrent/kurrentdb-client'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { monitorPersistentSubscription } from '@tidemark/esdb-adapter'
import { serveMetrics } from './serve-metrics.ts'

// Start it as often as you like: the server shares the events out among all of them.
const { ESDB_CONNECTION_STRING } = process.env
if (!ESDB_CONNECTION_STRING) {
  console.error('ESDB_CONNECTION_STRING is not set: expected, say, kurrentdb://localhost:2113?tls=false')
  process.exit(2)
}
const client = KurrentDBClient.connectionString(ESDB_CONNECTION_STRING)
const stream = 'orders'
const group = 'mailer'
const RETRIES = 3
await client
  .createPersistentSubscriptionToStream(
    stream,
    group,
    persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: 'start' }),
  )
  .catch((error: unknown) => {
    if (!(error instanceof PersistentSubscriptionExistsError)) throw error
  })
const server = await serveMetrics()

const monitor = monitorPersistentSubscription({
  client,
  stream,
  group,
  metrics: promClientMetrics(),
  logger: console,
})
const subscription = monitor.wrap(client.subscribeToPersistentSubscriptionToStream(stream, group))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void subscription.unsubscribe())

for await (const delivery of subscription) {
  try {
    console.log(`a mail about ${delivery.event?.type} ${delivery.event?.revision}`)
    await subscription.ack(delivery)
  } catch (error) {
    await subscription.nack(delivery.retryCount < RETRIES ? 'retry' : 'park', String(error), delivery)
  }
}
server.close()
await client.dispose()
