import { isTransientEsdbError } from '@tidemark/esdb-adapter'
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import { type EsdbServer, startEsdbServer } from '../support/esdb-server/server.ts'
import { type Client, connect } from './client.ts'

// How long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

export interface Rig {
  readonly server: EsdbServer
  readonly client: Client
  /** Another client of the same server. */
  connect(): Client
}

/** A server for the tests of this file, one after the other: each begins with an empty log and a new client. */
export function useServer(): Rig {
  let server: EsdbServer | undefined
  let clients: Client[] = []
  const connectAnother = (): Client => {
    const client = connect(started(server))
    clients.push(client)
    return client
  }
  beforeAll(async () => {
    server = await startEsdbServer()
  })
  beforeEach(async () => {
    await started(server).restart({ keepLog: false })
    await reached(connectAnother())
  })
  afterEach(async () => {
    await started(server).resume()
    await Promise.all(clients.map((client) => client.dispose()))
    clients = []
  })
  afterAll(async () => {
    await server?.stop()
  })
  return {
    get server() {
      return started(server)
    },
    get client() {
      return started(clients[0])
    },
    connect: connectAnother,
  }
}

/** Connections are shared by all clients of a process: the last ones may not know yet that the server has gone. */
async function reached(client: Client): Promise<void> {
  const calls = [
    async () => {
      for await (const _ of client.readStream('nothing', { maxCount: 1 }));
    },
    () => client.listAllPersistentSubscriptions(),
  ]
  for (const call of calls) {
    let isReached = false
    while (!isReached) {
      isReached = await call().then(
        () => true,
        (error: unknown) => !isTransientEsdbError(error),
      )
    }
  }
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('there is none outside of a test')
  return part
}

/** Numbered events of one type. */
export function numbered(from: number, to: number, type = 'Numbered') {
  return Array.from({ length: to - from + 1 }, (_, i) => ({ type, data: { n: from + i } }))
}

export function never(): AbortSignal {
  return new AbortController().signal
}
