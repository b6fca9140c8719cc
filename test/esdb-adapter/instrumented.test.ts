import { registerInstrumentations } from '@opentelemetry/instrumentation'
import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc'
import { createDaemon } from '@tidemark/core'
import { esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { afterAll, expect, onTestFinished } from 'vitest'
import { installTracing } from '../core/telemetry/tracing-rig.ts'

const sdk = installTracing()
registerInstrumentations({ tracerProvider: sdk.provider, instrumentations: [new GrpcInstrumentation()] })
// What is instrumented is the client that is loaded from here on.
const { numbered, useServer } = await import('./rig.ts')
const { steered } = await import('./server-in-use.ts')

const esdb = useServer()
afterAll(() => sdk.uninstall())

// Elsewhere the test itself writes through the client.
steered(
  'the client makes spans of what a handler calls, inside its batch, and of nothing that Tidemark calls',
  async () => {
    const before = sdk.spans().length
    const daemon = createDaemon({
      source: esdbEvents({ client: esdb.client, stream: esdb.own('orders') }),
      checkpoints: esdbCheckpoints({ client: esdb.client }),
      projections: [
        {
          name: esdb.own('mailer'),
          // A call that both clients make through gRPC; reads of the newer one are native.
          handle: async () => {
            await esdb.client.listAllPersistentSubscriptions()
          },
        },
      ],
    })
    onTestFinished(() => daemon.stop())
    await daemon.start()
    for (let round = 0; round < 3; round++) {
      await esdb.server.write(esdb.own('orders'), numbered(round, round))
      await daemon.waitUntilProjected()
    }
    await daemon.stop()

    const spans = sdk.spans().slice(before)
    const batches = new Set(
      spans
        .filter(({ name }) => name === `process ${esdb.own('mailer')}`)
        .map((span) => span.spanContext().spanId),
    )
    expect(batches.size).toBe(3)
    const calls = spans.filter(({ instrumentationScope }) => instrumentationScope.name !== '@tidemark/core')
    expect(calls).toHaveLength(3)
    for (const call of calls) expect(batches, call.name).toContain(call.parentSpanContext?.spanId)
  },
)
