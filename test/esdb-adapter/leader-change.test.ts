import { createDaemon, type Daemon } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type EsdbServer, startEsdbServer } from '../support/esdb-server/server.ts'
import { type Client, clientName, connect } from './client.ts'
import { numbered } from './rig.ts'
import { describeSteered } from './server-in-use.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const isNewer = clientName === 'kurrentdb'

describeSteered('a leader dies, and another node leads', () => {
  let first: EsdbServer
  let second: EsdbServer
  let made: Client[]
  let daemon: Daemon<bigint> | undefined

  const make = (): Client => {
    const seeds = `127.0.0.1:${first.port},127.0.0.1:${second.port}`
    const client = connect({ connectionString: `esdb://${seeds}?tls=false` })
    made.push(client)
    return client
  }

  /** Nothing is replicated here: each node is given the same events. */
  const write = (from: number, to: number, servers = [first, second]) =>
    Promise.all(servers.map((server) => server.write('orders', numbered(from, to))))

  const electSecond = async (): Promise<void> => {
    await first.stop()
    await second.setCluster([
      { port: first.port, state: 'dead' },
      { port: second.port, state: 'leader' },
    ])
  }

  async function project(client: Client | (() => Client)) {
    const handled: unknown[] = []
    const log: string[] = []
    daemon = createDaemon({
      source: esdbEvents({ client, stream: 'orders' }),
      checkpoints: inMemoryCheckpoints(),
      logger: {
        info: () => {},
        warn: (line: string) => void log.push(line),
        error: (line: string) => void log.push(line),
      },
      projections: [
        {
          name: 'orders',
          handle: (events) => void handled.push(...events.map(({ event }) => event?.revision)),
        },
      ],
    })
    await daemon.start()
    return { handled, log }
  }

  beforeEach(async () => {
    ;[first, second] = await Promise.all([startEsdbServer(), startEsdbServer()])
    made = []
    const cluster = [
      { port: first.port, state: 'leader' },
      { port: second.port, state: 'follower' },
    ] as const
    await Promise.all([first.setCluster(cluster), second.setCluster(cluster)])
  })

  afterEach(async () => {
    await daemon?.stop()
    daemon = undefined
    await Promise.all(made.map((client) => client.dispose()))
    await Promise.all([first.stop(), second.stop()])
  })

  test('a daemon that can make a client goes on, and each event is handled once', async () => {
    const { handled } = await project(make)
    await write(0, 4)
    await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(5)
    await electSecond()
    await write(5, 9, [second])
    await expect.poll(() => handled, { timeout: 40_000 }).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n])
  })

  test('so does one that was started before there was a server', async () => {
    await first.close()
    const { handled } = await project(() => {
      const client = connect(first)
      made.push(client)
      return client
    })
    await first.open()
    await write(0, 4)
    await expect.poll(() => handled, { timeout: 40_000 }).toEqual([0n, 1n, 2n, 3n, 4n])
  })

  test.runIf(isNewer)('one that was given a client says what helps, in the log', async () => {
    const { handled, log } = await project(make())
    await write(0, 4)
    await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(5)
    await electSecond()
    await expect
      .poll(() => log.join('\n'), { timeout: 40_000 })
      .toMatch(/polls fail: .*give a function as `client`.*nodePreference=follower.*@eventstore\/db-client/)
  })

  test.runIf(!isNewer)('the older client finds it by itself', async () => {
    const { handled, log } = await project(make())
    await write(0, 4)
    await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(5)
    await electSecond()
    await write(5, 9, [second])
    await expect.poll(() => handled.length, { timeout: 40_000 }).toBe(10)
    expect(log.join('\n')).not.toContain('give a function')
  })
})
