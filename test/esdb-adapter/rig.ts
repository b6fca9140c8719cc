import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest'
import type { EsdbServer } from '../support/esdb-server/server.ts'
import { type Client, clientName, connect } from './client.ts'
import { type Before, lookBefore, removeOwn, unique } from './own-names.ts'
import { isSimulated, reached, startServer } from './server-in-use.ts'

// How long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

export interface Rig {
  readonly server: EsdbServer
  readonly client: Client
  /** Another client of the same server. */
  connect(): Client
  /** What a stream, group or projection of that name is called in this test, and in no other. */
  own(name: string): string
}

/**
 * A server for the tests of this file, one after the other: each has a new client and names of its own. A simulated one has
 * an empty log; on another, what was made here is removed at the end.
 */
export function useServer(): Rig {
  let server: EsdbServer | undefined
  let clients: Client[] = []
  const names = new Map<string, string>()
  const connectAnother = (): Client => {
    const client = connect(soon(started(server)))
    clients.push(client)
    return client
  }
  beforeAll(async () => {
    server = await startServer()
  })
  beforeEach(async () => {
    names.clear()
    if (isSimulated) await started(server).restart({ keepLog: false })
    await answers(connectAnother())
  })
  afterEach(async () => {
    await started(server).resume()
    await Promise.all(clients.map((client) => client.dispose()))
    clients = []
  })
  afterAll(async () => {
    await server?.stop()
  })
  removedAfterAll(() => started(server))
  return {
    get server() {
      return started(server)
    },
    get client() {
      return started(clients[0])
    },
    connect: connectAnother,
    own: (name) => {
      const own = names.get(name) ?? unique(name)
      names.set(name, own)
      return own
    },
  }
}

/**
 * Of a server that others use too, what the tests of this file make is removed. To be called last: hooks that come before
 * the tests run in order, those behind them in the opposite one.
 */
export function removedAfterAll(server: () => EsdbServer): void {
  if (isSimulated) return
  let before: Before
  const withClient = async <T>(act: (client: Client) => Promise<T>): Promise<T> => {
    const client = connect(server())
    try {
      await answers(client)
      return await act(client)
    } finally {
      await client.dispose()
    }
  }
  beforeAll(async () => {
    before = await withClient(lookBefore)
  })
  afterAll(() => withClient((client) => removeOwn(client, before)))
}

/**
 * A new client of KurrentDB waits for `discoveryInterval` (0.5 s) before its first call; here each test has one. It goes on
 * looking for a server as long as by default.
 */
function soon({ connectionString }: EsdbServer): { readonly connectionString: string } {
  const isAsMade = isSimulated && clientName === 'kurrentdb'
  return {
    connectionString: isAsMade
      ? `${connectionString}&discoveryInterval=10&maxDiscoverAttempts=500`
      : connectionString,
  }
}

/** Connections are shared by all clients of a process: the last ones may not know yet that the server has gone. */
async function answers(client: Client): Promise<void> {
  await reached(async () => {
    for await (const _ of client.readAll({ maxCount: 1 }));
  })
  await reached(() => client.listAllPersistentSubscriptions().catch(unlessThereIsNone))
}

function unlessThereIsNone(error: unknown): void {
  if ((error as { type?: unknown }).type !== 'persistent-subscription-does-not-exist') throw error
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
