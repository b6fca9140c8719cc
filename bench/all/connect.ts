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

/** One client a process: the two clash on a global. */
export async function connect(name: string, port: number): Promise<Connected> {
  const address = `127.0.0.1:${port}?tls=false&defaultDeadline=60000`
  if (name === '@eventstore/db-client') {
    const { EventStoreDBClient, jsonEvent, START, FORWARDS } = await import('@eventstore/db-client')
    const client = EventStoreDBClient.connectionString(`esdb://${address}`)
    return {
      client,
      append: async (stream, count, data) => {
        await client.appendToStream(
          stream,
          Array.from({ length: count }, () => jsonEvent({ type: 'moved', data: { ...data } })),
        )
      },
      readAll: async (maxCount) =>
        count(client.readAll({ fromPosition: START, direction: FORWARDS, maxCount })),
      dispose: () => client.dispose(),
    }
  }
  const { KurrentDBClient, jsonEvent, START, FORWARDS } = await import('@kurrent/kurrentdb-client')
  const client = KurrentDBClient.connectionString(`kurrentdb://${address}`)
  return {
    client,
    append: async (stream, count, data) => {
      await client.appendToStream(
        stream,
        Array.from({ length: count }, () => jsonEvent({ type: 'moved', data: { ...data } })),
      )
    },
    readAll: async (maxCount) =>
      count(client.readAll({ fromPosition: START, direction: FORWARDS, maxCount })),
    dispose: () => client.dispose(),
  }
}

async function count(events: AsyncIterable<unknown>): Promise<number> {
  let read = 0
  for await (const _ of events) read++
  return read
}

/** Calls `tick` that many times a second, for that long, without catching up on what a slow spell left out. */
export async function evenly(perSecond: number, seconds: number, tick: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  let ticks = 0
  for (; ticks < perSecond * seconds; ticks++) {
    const dueMs = startedMs + (ticks * 1_000) / perSecond
    const aheadMs = dueMs - performance.now()
    if (aheadMs > 1) await delay(aheadMs)
    await tick()
  }
  return ticks
}
