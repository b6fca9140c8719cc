import { setTimeout as sleep } from 'node:timers/promises'
import {
  CheckpointBeyondHeadError,
  type Clock,
  type Resubscribing,
  type ResubscribingStatus,
  resubscribing,
} from '@tidemark/core'
import { esdbConsumerGroup, esdbEvents } from '@tidemark/esdb-adapter'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { GenerationName } from '../../support/esdb-server/generations.ts'
import { type EsdbServer, startEsdbServer } from '../../support/esdb-server/server.ts'
import { type Client, client as clients, connect } from '../client.ts'
import { describeSteered } from '../server-in-use.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const PATIENCE = { timeout: 30_000, interval: 20 }

/** Waits are as long as they are; nobody has to sit through them. */
const hurried: Clock = {
  nowMs: () => performance.timeOrigin + performance.now(),
  sleep: (ms, signal, { unref = false } = {}) =>
    sleep(ms / 50, undefined, { signal, ref: !unref }).catch(() => {}),
}

const numbered = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => ({ type: 'Numbered', data: { n: first + i } }))

interface Consumed {
  readonly numbers: unknown[]
  outcome: unknown
  status(): ResubscribingStatus<unknown>
}

describeSteered.each(['23.10', '25'] satisfies GenerationName[])('on a server of %s', (generation) => {
  let server: EsdbServer
  let db: Client
  let stopping: AbortController
  let names = 0
  beforeEach(async () => {
    server = await startEsdbServer({ generation })
    db = connect(server)
    stopping = new AbortController()
  })
  afterEach(async () => {
    stopping.abort()
    await server.resume()
    await vi.waitFor(async () => expect((await server.counters()).open.subscription).toBe(0), PATIENCE)
    await db.dispose()
    await server.stop()
  })

  /** A consumer of that stream: as a stream, as $all, or as $all with a filter. */
  function consumer(
    of: 'a stream' | '$all' | '$all with a filter',
    stream: string,
    from: 'start' | 'end' = 'start',
    handle: () => Promise<void> = async () => {},
  ): Consumed {
    const common = { projection: 'mailer', from, signal: stopping.signal, clock: hurried }
    if (of === 'a stream') {
      const source = esdbEvents({ client: db, stream })
      return consume(
        resubscribing((fromRevision) => db.subscribeToStream(stream, { fromRevision }), {
          ...common,
          source,
        }),
        handle,
      )
    }
    if (of === '$all') {
      const source = esdbEvents({ client: db })
      const events = resubscribing((fromPosition) => db.subscribeToAll({ fromPosition }), {
        ...common,
        source,
      })
      return consume(events, handle)
    }
    const filter = clients.streamNameFilter({ prefixes: [stream], checkpointInterval: 1 })
    const source = esdbEvents({ client: db, filter })
    const events = resubscribing(
      (fromPosition, monitor) => db.subscribeToAll({ fromPosition, filter: monitor.filter(filter) }),
      { ...common, source },
    )
    return consume(events, handle)
  }

  function consume<P>(
    events: Resubscribing<P, { readonly event?: { readonly type: string; readonly data: unknown } }>,
    handle: () => Promise<void>,
  ): Consumed {
    const consumed: Consumed = { numbers: [], outcome: undefined, status: () => events.status() }
    const loop = async () => {
      for await (const { event } of events) {
        if (event?.type !== 'Numbered') continue
        await handle()
        consumed.numbers.push((event.data as { n: number }).n)
      }
    }
    void loop().catch((error: unknown) => {
      consumed.outcome = error
    })
    return consumed
  }

  const isLive = (consumed: Consumed) =>
    vi.waitFor(() => expect(consumed.status().state).toBe('live'), PATIENCE)
  const has = (consumed: Consumed, last: number) =>
    vi.waitFor(
      () => expect(consumed.numbers).toEqual(Array.from({ length: last + 1 }, (_, n) => n)),
      PATIENCE,
    )
  const isDropped = (consumed: Consumed, reason: unknown) =>
    vi.waitFor(
      () => expect(consumed.status()).toMatchObject({ state: 'dropped', dropReason: reason }),
      PATIENCE,
    )

  describe.each(['a stream', '$all', '$all with a filter'] as const)('%s', (of) => {
    const which = (stream: string) =>
      ({ kind: 'subscription', stream: of === 'a stream' ? stream : '$all' }) as const

    test('each event comes once, in order, though the server finds the consumer too slow', async () => {
      const stream = `fast-${++names}`
      await server.write(stream, numbered(0, 9))
      const consumed = consumer(of, stream)
      await has(consumed, 9)
      await isLive(consumed)
      if (generation === '23.10') {
        await server.stall(which(stream))
        await server.write(stream, numbered(10, 209))
        await server.resume()
      } else {
        await server.write(stream, numbered(10, 109))
        await server.failCalls(which(stream), 'consumer-too-slow')
        await server.write(stream, numbered(110, 209))
      }
      await has(consumed, 209)
      expect(consumed.outcome).toBeUndefined()
      expect((await server.counters()).received.subscription).toBeGreaterThan(1)
    })

    test('nor is any lost or doubled by a connection that is cut, a silent end, and a server that is gone', async () => {
      const stream = `cut-${++names}`
      await server.write(stream, numbered(0, 4))
      let open = () => {}
      let gate = Promise.resolve()
      const consumed = consumer(of, stream, 'start', () => gate)
      await has(consumed, 4)
      await isLive(consumed)
      // Cut with events in hand and in the buffer.
      gate = new Promise<void>((resolve) => {
        open = resolve
      })
      await server.write(stream, numbered(5, 14))
      await vi.waitFor(() => expect(consumed.status().deliveredEvents).toBeGreaterThan(5), PATIENCE)
      await server.cutConnections({ kind: 'subscription' })
      await isDropped(consumed, expect.any(String))
      await server.write(stream, numbered(15, 19))
      open()
      await has(consumed, 19)
      await isLive(consumed)
      await server.endCalls(which(stream))
      await server.write(stream, numbered(20, 24))
      await has(consumed, 24)
      await isLive(consumed)
      await server.close()
      await isDropped(consumed, expect.any(String))
      await server.write(stream, numbered(25, 29))
      await vi.waitFor(() => expect(consumed.status().failuresInARow).toBeGreaterThan(2), PATIENCE)
      expect(consumed.status().state).toBe('dropped')
      await server.open()
      await has(consumed, 29)
      expect(consumed.status()).toMatchObject({ failuresInARow: 0, skipped: {} })
      expect(consumed.outcome).toBeUndefined()
    })

    test('from the end, what is appended while it is dropped is not lost, though nothing had come', async () => {
      const stream = `end-${++names}`
      await server.write(stream, [{ type: 'Older' }])
      const consumed = consumer(of, stream, 'end')
      await vi.waitFor(async () => expect((await server.counters()).open.subscription).toBe(1), PATIENCE)
      await server.refuseCalls({ kind: 'subscription' }, 'server-not-ready', 2)
      await server.failCalls(which(stream), 'not-leader', {
        host: '127.0.0.1',
        port: server.port,
      })
      await server.write(stream, numbered(0, 3))
      await has(consumed, 3)
      expect(consumed.outcome).toBeUndefined()
    })

    test('a store that comes back behind what was processed ends it', async () => {
      const stream = `restored-${++names}`
      await server.write(stream, numbered(0, 99))
      const consumed = consumer(of, stream)
      await has(consumed, 99)
      await server.restart({ keepLog: false })
      // With a filter it is the next event that tells.
      while (consumed.outcome === undefined) {
        await server.write(stream, [{ type: 'Other' }])
        await sleep(50)
      }
      expect(consumed.outcome).toBeInstanceOf(CheckpointBeyondHeadError)
      expect(consumed.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
    })

    test('what somebody has to mend ends it', async () => {
      const stream = `denied-${++names}`
      await server.write(stream, numbered(0, 4))
      const consumed = consumer(of, stream)
      await has(consumed, 4)
      await server.failCalls(which(stream), 'access-denied')
      await vi.waitFor(() => expect(consumed.outcome).toMatchObject({ type: 'access-denied' }), PATIENCE)
      expect(consumed.status()).toMatchObject({ state: 'dropped', dropReason: 'access-denied' })
    })
  })

  test('what a filter left out is not read again: its checkpoints move where the next one begins', async () => {
    const stream = `wanted-${++names}`
    const filter = clients.streamNameFilter({ prefixes: [stream], checkpointInterval: 1 })
    const source = esdbEvents({ client: db, filter })
    const begunAt: unknown[] = []
    const events = resubscribing(
      (fromPosition, monitor) => {
        begunAt.push(fromPosition)
        return db.subscribeToAll({ fromPosition, filter: monitor.filter(filter) })
      },
      { projection: 'mailer', source, signal: stopping.signal, clock: hurried },
    )
    const consumed = consume(events, async () => {})
    await isLive(consumed)
    await server.write('others', numbered(0, 99))
    await vi.waitFor(() => expect(events.status().position?.commit).toBeGreaterThan(1_000n), PATIENCE)
    await server.failCalls({ kind: 'subscription', stream: '$all' }, 'consumer-too-slow')
    await vi.waitFor(() => expect(begunAt).toHaveLength(2), PATIENCE)
    expect(begunAt[1]).toMatchObject({ commit: expect.any(BigInt) })
    await server.write(stream, numbered(0, 3))
    await has(consumed, 3)
  })

  test('a persistent subscription and a group are refused, and nothing stays open', async () => {
    const stream = `shared-${++names}`
    const settings = clients.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: 'start' })
    await db.createPersistentSubscriptionToStream(stream, 'mailers', settings)
    const options = { projection: 'mailer', clock: hurried }
    const subscribe = () => db.subscribeToPersistentSubscriptionToStream(stream, 'mailers')
    const group = esdbConsumerGroup({ client: db, stream, group: 'mailers' })
    expect(() => resubscribing(subscribe, { ...options, source: group as never })).toThrow(
      /source: expected that of a catch-up subscription/,
    )
    const events = resubscribing(subscribe, { ...options, source: esdbEvents({ client: db, stream }) })
    await expect(events[Symbol.asyncIterator]().next()).rejects.toThrow(
      /subscribe: expected a function that makes a catch-up subscription/,
    )
    await vi.waitFor(
      async () => expect((await server.counters()).open['persistent-subscription']).toBe(0),
      PATIENCE,
    )
  })
})
