import { createDaemon } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { esdbCheckpoints, esdbEvents, isTransientEsdbError } from '@tidemark/esdb-adapter'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ErrorName } from '../support/esdb-server/errors.ts'
import { never, numbered, useServer } from './rig.ts'
import { steered } from './server-in-use.ts'

const rig = useServer()

const outcomeOf = (call: Promise<unknown>): Promise<Error> =>
  call.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: Error) => error,
  )

const ERRORS: readonly ErrorName[] = [
  'not-leader',
  'no-leader-info',
  'access-denied',
  'unauthenticated',
  'stream-deleted',
  'server-not-ready',
  'timeout',
  'deadline-exceeded',
  'cancelled',
  'unknown',
]

describe('an error of the client says what went wrong, not only its own name:', () => {
  steered('whichever it is, of a read and of an append', async () => {
    const { server, client } = rig
    await server.write('orders', numbered(0, 2))
    for (const name of ERRORS) await holds(server, client, name)
  })

  async function holds(server: typeof rig.server, client: typeof rig.client, name: ErrorName) {
    await server.refuseCalls({ kind: 'read', stream: 'orders' }, name, 1, {
      host: '127.0.0.1',
      port: server.port,
    })
    const ofRead = await outcomeOf(esdbEvents({ client, stream: 'orders' }).readHead(never()))
    await server.refuseCalls({ kind: 'append' }, name, 1, { host: '127.0.0.1', port: server.port })
    const advance = {
      unit: wholeUnit('p'),
      source: 's',
      from: undefined,
      to: '1',
      evidence: { incarnation: 'log', settled: '1', logPosition: undefined },
      signal: never(),
    }
    const ofAppend = await outcomeOf(esdbCheckpoints({ client }).advance(advance, async () => {}))
    if (name === 'server-not-ready') {
      expect(ofAppend.message).toMatch(/^append to stream .*Could not recognize Server Is Not Ready/)
      expect(isTransientEsdbError(ofAppend), 'it passes').toBe(true)
    }
    for (const { message, stack } of [ofRead, ofAppend]) {
      expect(message, name).toMatch(/\w+ \w+/)
      expect(stack).toContain(message)
    }
  }

  test('a stream that was deleted for good, when the daemon starts, in its status and in the log', async () => {
    const { server, client, own } = rig
    const stream = own('orders')
    await server.write(stream, numbered(0, 2))
    const lines: string[] = []
    const line = (text: string): void => void lines.push(text)
    const start = () => {
      const daemon = createDaemon({
        source: esdbEvents({ client, stream }),
        checkpoints: esdbCheckpoints({ client }),
        projections: [{ name: own('p'), handle: () => {} }],
        logger: { info: line, warn: line, error: line },
      })
      onTestFinished(() => daemon.stop())
      return daemon
    }
    const daemon = start()
    await daemon.start()
    await daemon.waitUntilProjected()
    await client.tombstoneStream(stream)
    daemon.wake()
    await vi.waitFor(() => expect(daemon.status().highWater.state).toBe('failing'), 30_000)
    const said = new RegExp(`stream "${stream}".*deleted for good|'${stream}' is deleted`)
    expect((daemon.status().highWater.error as Error).message).toMatch(said)
    await vi.waitFor(() => expect(lines.join('\n')).toMatch(said), 30_000)
    expect((await outcomeOf(start().start())).message).toMatch(said)
  })
})
