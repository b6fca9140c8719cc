import { createDaemon, createProgressReader, type Daemon, type EventSource } from '@tidemark/core'
import { type EsdbEvent, esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { afterEach, expect, test } from 'vitest'
import { client as clientModule } from './client.ts'
import { useServer } from './rig.ts'

const esdb = useServer()
const own = esdb.own
let daemon: Daemon<unknown> | undefined

afterEach(() => daemon?.stop())

test.each([
  ['$all', 'its position'],
  ['a stream', 'its next expected revision'],
])('a progress reader waits for what an append to %s has given: %s', async (of) => {
  const stream = own('orders')
  const source = (client = esdb.client) =>
    (of === '$all' ? esdbEvents({ client }) : esdbEvents({ client, stream })) as EventSource<
      unknown,
      EsdbEvent
    >
  const handled: number[] = []
  daemon = createDaemon({
    source: source(),
    checkpoints: esdbCheckpoints({ client: esdb.client }),
    projections: [
      {
        name: own('mailer'),
        handle: (events) => {
          for (const { event } of events) {
            if (event?.streamId === stream) handled.push((event.data as { n: number }).n)
          }
        },
      },
    ],
  })
  await daemon.start()
  const other = esdb.connect()
  const progress = createProgressReader({
    checkpoints: esdbCheckpoints({ client: other }),
    source: source(other),
  })
  for (let n = 0; n < 5; n++) {
    const appended = await other.appendToStream(
      stream,
      clientModule.jsonEvent({ type: 'Placed', data: { n } }),
    )
    const position = of === '$all' ? appended.position : appended.nextExpectedRevision
    expect(position).toBeDefined()
    await progress.waitFor({ projection: own('mailer'), position, timeoutMs: 30_000 })
    expect(handled).toContain(n)
  }
})
