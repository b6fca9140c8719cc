import type { ResolvedEvent } from '@eventstore/db-client'
import { afterAll, beforeAll, vi } from 'vitest'
import type { EsdbServer, StartOptions } from '../../support/esdb-server/server.ts'
import { type Client, client, clientName, connect } from '../client.ts'
import { removedAfterAll } from '../rig.ts'
import { startServer } from '../server-in-use.ts'

export { unique } from '../own-names.ts'

export interface Rig {
  readonly server: EsdbServer
  readonly db: Client
}

/** A server and a client for the tests of a file. */
export function useServer(options: StartOptions = {}): Rig {
  const rig: { server?: EsdbServer; db?: Client } = {}
  beforeAll(async () => {
    rig.server = await startServer(options)
    rig.db = connect(rig.server)
  })
  afterAll(async () => {
    await rig.db?.dispose()
    await rig.server?.stop()
  })
  removedAfterAll(() => (rig as Rig).server)
  return rig as Rig
}

/** Events of this type, numbered in their data. */
export const numbered = (count: number, type = 'Happened') =>
  Array.from({ length: count }, (_, number) => client.jsonEvent({ type, data: { number } }))

export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

/** The type of the error that reading ends with. */
export const failure = (items: AsyncIterable<unknown>): Promise<Record<string, unknown>> =>
  all(items).then(
    () => Promise.reject(new Error('it ended without an error')),
    (error) => error,
  )

export const revisions = (events: readonly ResolvedEvent[]): (bigint | undefined)[] =>
  events.map(({ link, event }) => (link ?? event)?.revision)

/** What an error says of an append or delete that found the stream elsewhere: the newer client renamed the fields. */
export const conflict = (stream: string, expected: unknown, actual: unknown) => ({
  type: 'wrong-expected-version',
  streamName: stream,
  ...(clientName === 'eventstore'
    ? { expectedVersion: expected, actualVersion: actual }
    : { expectedState: expected, actualState: actual }),
})

interface Emitter {
  on(event: string, listener: (...args: never[]) => void): unknown
}

export interface Heard {
  readonly events: ResolvedEvent[]
  /** What else it said, in order, with the events among it: `confirmation`, `event 3`, `caughtUp`, `end`, `error ...`. */
  readonly said: string[]
  readonly caughtUp: unknown[]
}

/** Writes down what a subscription says, from the beginning. */
export function listen(subscription: unknown): Heard {
  const heard: Heard = { events: [], said: [], caughtUp: [] }
  const emitter = subscription as Emitter
  for (const name of ['confirmation', 'fellBehind', 'end']) emitter.on(name, () => heard.said.push(name))
  emitter.on('caughtUp', (info: unknown) => {
    heard.caughtUp.push(info)
    heard.said.push('caughtUp')
  })
  emitter.on('error', ({ type }: { type: string }) => heard.said.push(`error ${type}`))
  emitter.on('data', (event: ResolvedEvent) => {
    heard.events.push(event)
    heard.said.push(`event ${(event.link ?? event.event)?.revision}`)
  })
  return heard
}

/** Resolves when the condition holds, however slow the machine. */
export const until = (condition: () => boolean | Promise<boolean>): Promise<void> =>
  vi.waitFor(
    async () => {
      if (!(await condition())) throw new Error(`still not: ${condition}`)
    },
    { timeout: 30_000, interval: 20 },
  )
