import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { EsdbCheckpointsClient, EsdbClient } from '@tidemark/esdb-adapter'

/** What of a client the benchmark uses. */
export interface Connected {
  readonly client: EsdbClient & EsdbCheckpointsClient
  append(stream: string, count: number, data: object): Promise<void>
  /** Reads `$all` to its end, and does nothing with it. Returns how many events came. */
  readAll(limit: number): Promise<number>
  dispose(): Promise<void>
}

export async function connect(name: string, port: number): Promise<Connected> {
  const client = await clientOf(name, `127.0.0.1:${port}?tls=false&defaultDeadline=60000`)
  return {
    client,
    append: async (stream, count, data) => {
      await client.appendToStream(
        stream,
        Array.from({ length: count }, () => newEvent(data)),
      )
    },
    readAll: async (maxCount) => count(client.readAll({ ...FROM_START, maxCount })),
    dispose: () => client.dispose(),
  }
}

/** The clients' defaults. */
const FROM_START = {
  fromPosition: 'start',
  direction: 'forwards',
  resolveLinkTos: false,
  requiresLeader: false,
} as const

type NewEvent = ReturnType<typeof newEvent>

function newEvent(data: object) {
  return {
    id: randomUUID(),
    contentType: 'application/json' as const,
    type: 'moved',
    data: { ...data },
    metadata: undefined,
  }
}

/** Of both clients. */
type Client = Connected['client'] & {
  appendToStream(stream: string, events: NewEvent[]): Promise<unknown>
  dispose(): Promise<void>
}

/** One client a process: the two clash on a global. */
async function clientOf(name: string, address: string): Promise<Client> {
  if (name === '@eventstore/db-client') {
    const { EventStoreDBClient } = await import('@eventstore/db-client')
    return EventStoreDBClient.connectionString(`esdb://${address}`)
  }
  const { KurrentDBClient } = await import('@kurrent/kurrentdb-client')
  return KurrentDBClient.connectionString(`kurrentdb://${address}`)
}

async function count(events: AsyncIterable<unknown>): Promise<number> {
  let read = 0
  for await (const _ of events) read++
  return read
}

/** Calls `tick` that many times a second, for that long, without catching up on what a slow spell left out. */
export async function evenly(perSecond: number, seconds: number, tick: () => void): Promise<number> {
  const startedMs = performance.now()
  let ticks = 0
  for (; ticks < perSecond * seconds; ticks++) {
    const dueMs = startedMs + (ticks * 1_000) / perSecond
    const aheadMs = dueMs - performance.now()
    if (aheadMs > 1) await delay(aheadMs)
    tick()
  }
  return ticks
}
