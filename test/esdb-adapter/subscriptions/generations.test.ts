import type { Position } from '@eventstore/db-client'
import { CheckpointBeyondHeadError, monitorSubscription } from '@tidemark/core'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { GENERATIONS, type GenerationName } from '../../support/esdb-server/generations.ts'
import { type EsdbServer, startEsdbServer } from '../../support/esdb-server/server.ts'
import { type Client, client as clients, connect } from '../client.ts'
import { describeSteered } from '../server-in-use.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const PATIENCE = { timeout: 30_000, interval: 20 }

const numbered = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ type: 'Numbered', data: { n } }))

/** Consumes it; resolves to the error that it ends with. */
async function outcomeOf(subscription: AsyncIterable<unknown>): Promise<unknown> {
  try {
    for await (const _ of subscription);
    return 'no error'
  } catch (error) {
    return error
  }
}

// What differs from one generation of servers to the next.
describeSteered.each(Object.keys(GENERATIONS) as GenerationName[])('on a server of %s', (generation) => {
  let server: EsdbServer
  let db: Client
  let names = 0
  beforeAll(async () => {
    server = await startEsdbServer({ generation })
    db = connect(server)
  })
  afterAll(async () => {
    await db.dispose()
    await server.stop()
  })

  test.each([
    ['$all', false],
    ['$all with a filter', true],
  ])('a checkpoint of %s beyond the head is told of while events are appended', async (_, isFiltered) => {
    const stream = `restored-${++names}`
    const filter = clients.streamNameFilter({ prefixes: [stream] })
    const source = esdbEvents({ client: db, ...(isFiltered ? { filter } : {}) })
    const head = await source.readHead(new AbortController().signal)
    if (head === undefined) throw new Error('there is always something')
    const from = { commit: head.commit + 3_000n, prepare: head.prepare + 3_000n }
    let isRead = (): void => {}
    const read = new Promise<void>((resolve) => {
      isRead = resolve
    })
    // The first reading comes late: what arrives before tells nothing of the store.
    const { readHead } = source
    vi.spyOn(source, 'readHead').mockImplementation(async (signal, how) => {
      await read
      return await readHead.call(source, signal, how)
    })
    const readNext = vi.spyOn(source, 'readNext')
    const monitor = monitorSubscription({ projection: 'mailer', source, from, headIntervalMs: 50 })
    const outcome = outcomeOf(
      monitor.wrap(
        db.subscribeToAll(
          isFiltered ? { fromPosition: from, filter: monitor.filter(filter) } : { fromPosition: from },
        ),
      ),
    )
    await vi.waitFor(async () => expect((await server.counters()).open.subscription).toBe(1), PATIENCE)
    await server.write(stream, numbered(5))
    if (generation === '23.10') {
      await vi.waitFor(() => expect(monitor.status().deliveredEvents).toBeGreaterThan(0), PATIENCE)
    }
    isRead()
    // There it is the next event that tells, once the head was read.
    if (isFiltered && generation !== '23.10') {
      await vi.waitFor(() => expect(readNext).toHaveBeenCalled(), PATIENCE)
      await server.write(stream, numbered(1))
    }
    expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
  })

  test('a checkpoint of a filter that is no position moves nothing, and is not handed on', async () => {
    const stream = `wanted-${++names}`
    const kept: Position[] = []
    const filter = clients.streamNameFilter({
      prefixes: [stream],
      checkpointReached: async (_, position) => void kept.push(position),
    })
    const source = esdbEvents({ client: db, filter })
    const monitor = monitorSubscription({ projection: 'mailer', source, headIntervalMs: 50 })
    const wrapped = monitor.wrap(db.subscribeToAll({ filter: monitor.filter(filter) }))
    const consuming = outcomeOf(wrapped)
    await vi.waitFor(() => expect(monitor.status().state).toBe('live'), PATIENCE)
    await server.write(stream, numbered(1))
    await vi.waitFor(() => expect(monitor.status().processedEvents).toBe(1), PATIENCE)
    const head = await source.readHead(new AbortController().signal)
    expect(monitor.status().position).toEqual(head)
    for (const { commit } of kept) expect(commit).toBeLessThanOrEqual(head?.commit ?? 0n)
    await wrapped.unsubscribe()
    expect(await consuming).toBe('no error')
  })

  test('from a position that was scavenged nothing counts as skipped, and what comes is handled once', async () => {
    const stream = `scavenged-${++names}`
    await server.write(stream, numbered(1))
    const source = esdbEvents({ client: db })
    const from = await source.readHead(new AbortController().signal)
    if (from === undefined) throw new Error('nothing was written')
    await server.write(stream, numbered(4))
    await server.scavenge(stream, 0n, 0n)
    const monitor = monitorSubscription({ projection: 'mailer', source, from, headIntervalMs: 50 })
    const wrapped = monitor.wrap(db.subscribeToAll({ fromPosition: from }))
    const consuming = outcomeOf(wrapped)
    // The oldest generation leaves out the next one by itself.
    const processedEvents = generation === '23.10' ? 3 : 4
    await vi.waitFor(
      () => expect(monitor.status()).toMatchObject({ state: 'live', lagMs: 0, processedEvents }),
      PATIENCE,
    )
    expect(monitor.status().skipped).toEqual({})
    await wrapped.unsubscribe()
    expect(await consuming).toBe('no error')
  })

  test('nor can a subscription begin there', () => {
    const none = 2n ** 64n - 1n
    const options = {
      projection: 'mailer',
      source: esdbEvents({ client: db }),
      from: { commit: none, prepare: none },
    }
    expect(() => monitorSubscription(options)).toThrow(
      /from: expected a position .*no event ever stands there/,
    )
  })

  test.each([
    ['was never written', async () => {}],
    [
      'was deleted',
      async (stream: string) => {
        await server.write(stream, numbered(2))
        await db.deleteStream(stream)
      },
    ],
    [
      'has lost all of its events',
      async (stream: string) => {
        await server.write(stream, numbered(2))
        await db.setStreamMetadata(stream, { truncateBefore: 2 })
      },
    ],
  ])('a stream that %s is live, without a lag', async (_, prepare) => {
    const stream = `empty-${++names}`
    await prepare(stream)
    const source = esdbEvents({ client: db, stream })
    const monitor = monitorSubscription({ projection: 'mailer', source, headIntervalMs: 50 })
    const wrapped = monitor.wrap(db.subscribeToStream(stream))
    const consuming = outcomeOf(wrapped)
    await vi.waitFor(() => expect(monitor.status()).toMatchObject({ state: 'live', lagMs: 0 }), PATIENCE)
    await wrapped.unsubscribe()
    await consuming
  })

  test('a consumer that is too slow is called that, where the server ends the call', async () => {
    const stream = `fast-${++names}`
    const source = esdbEvents({ client: db, stream })
    const monitor = monitorSubscription({ projection: 'mailer', source, headIntervalMs: 50 })
    const wrapped = monitor.wrap(db.subscribeToStream(stream, { fromRevision: 'end' }))
    const outcome = outcomeOf(wrapped)
    await vi.waitFor(() => expect(monitor.status().state).toBe('live'), PATIENCE)
    onTestFinished(() => server.resume())
    await server.stall({ kind: 'subscription', stream })
    await server.write(stream, numbered(200))
    await server.resume()
    if (generation !== '23.10') {
      await vi.waitFor(() => expect(monitor.status().processedEvents).toBe(200), PATIENCE)
      await wrapped.unsubscribe()
      return
    }
    expect(String(await outcome)).toContain('Consumer too slow')
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'consumer_too_slow' })
  })
})
