import { KurrentDBClient } from '@kurrent/kurrentdb-client'
import { monitorSubscription } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { serveMetrics } from './serve-metrics.ts'

const { ESDB_CONNECTION_STRING } = process.env
if (!ESDB_CONNECTION_STRING) {
  console.error('ESDB_CONNECTION_STRING is not set: expected, say, kurrentdb://localhost:2113?tls=false')
  process.exit(2)
}
const client = KurrentDBClient.connectionString(ESDB_CONNECTION_STRING)
const stream = 'orders'
const server = await serveMetrics()

const monitor = monitorSubscription({
  projection: 'mailer',
  source: esdbEvents({ client, stream }),
  metrics: promClientMetrics(),
  logger: console,
})
// The one line: what `subscribeToStream` gave comes back, monitored.
const subscription = monitor.wrap(client.subscribeToStream(stream))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void subscription.unsubscribe())

for await (const { event } of subscription) console.log(`a mail about ${event?.type} ${event?.revision}`)
server.close()
await client.dispose()
