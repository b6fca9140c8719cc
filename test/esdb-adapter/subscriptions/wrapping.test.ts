import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Position, ResolvedEvent } from '@eventstore/db-client'
import { CheckpointBeyondHeadError, type MonitorOptions, monitorSubscription } from '@tidemark/core'
import { esdbEvents } from '@tidemark/esdb-adapter'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type EsdbServer, startEsdbServer } from '../../support/esdb-server/server.ts'
import { programPath } from '../../support/program.ts'
import { type Client, clientName, client as clients, connect } from '../client.ts'
import { endOfAll, unique } from '../own-names.ts'
import { removedAfterAll } from '../rig.ts'
import { isSimulated, restarting, startServer, steered } from '../server-in-use.ts'

// How long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })
const PATIENCE = { timeout: 30_000, interval: 20 }

let server: EsdbServer
let db: Client
beforeAll(async () => {
  server = await startServer()
  db = connect(server)
})
afterAll(async () => {
  await db?.dispose()
  await server?.stop()
})
removedAfterAll(() => server)

const numbered = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ type: 'Numbered', data: { n } }))
const openSubscriptions = async () => (await server.counters()).open.subscription
/** Only the simulated server says how many calls it has. */
const noneIsOpen = async () => {
  if (isSimulated) await vi.waitFor(async () => expect(await openSubscriptions()).toBe(0), PATIENCE)
}

/** A stream of its own, with a monitor that looks often. */
async function monitored(
  count: number,
  by: Partial<MonitorOptions<bigint, ResolvedEvent>> = {},
  { resolveLinkTos = false } = {},
) {
  const stream = unique('orders')
  if (count > 0) await server.write(stream, numbered(count))
  const source = esdbEvents({ client: db, stream, resolveLinkTos })
  const monitor = monitorSubscription({ projection: 'mailer', source, headIntervalMs: 50, ...by })
  const subscribe = (fromRevision: bigint | 'start' | 'end' = 'start') =>
    monitor.wrap(db.subscribeToStream(stream, { fromRevision, resolveLinkTos }))
  return { stream, source, monitor, subscribe }
}

async function outcomeOf(loop: Promise<unknown>): Promise<unknown> {
  return await loop.then(
    () => 'no error',
    (error: unknown) => error,
  )
}

async function consume(subscription: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of subscription);
}

describe('a stream', () => {
  test('arrives whole and in order, as the very subscription, and break leaves no call open', async () => {
    const { stream, source, monitor } = await monitored(1_000)
    const bare = db.subscribeToStream(stream)
    const wrapped = monitor.wrap(bare)
    expect(wrapped).toBe(bare)
    const revisions: bigint[] = []
    for await (const { event } of wrapped) {
      revisions.push(event?.revision ?? -1n)
      if (revisions.length === 1_000) break
    }
    expect(revisions).toEqual(Array.from({ length: 1_000 }, (_, i) => BigInt(i)))
    expect(await source.readHead(new AbortController().signal)).toBe(999n)
    expect(monitor.status()).toMatchObject({
      state: 'ended',
      deliveredEvents: 1_000,
      processedEvents: 999,
      position: 998n,
      skipped: {},
    })
    await noneIsOpen()
  })

  steered('a bare break leaves its call open, which is why', async () => {
    const { stream } = await monitored(3)
    const bare = db.subscribeToStream(stream)
    for await (const _ of bare) break
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await openSubscriptions()).toBe(1)
    await bare.unsubscribe()
    await noneIsOpen()
  })

  test('a body that throws leaves none open either', async () => {
    const { subscribe } = await monitored(3)
    const loop = (async () => {
      for await (const _ of subscribe()) throw new Error('cannot be mailed')
    })()
    await expect(loop).rejects.toThrow('cannot be mailed')
    await noneIsOpen()
  })

  test('becomes live, with no lag, and follows what is appended', async () => {
    const { stream, monitor, subscribe } = await monitored(20)
    const wrapped = subscribe()
    const consuming = consume(wrapped)
    await vi.waitFor(
      () =>
        expect(monitor.status()).toMatchObject({ state: 'live', position: 19n, lagPositions: 0n, lagMs: 0 }),
      PATIENCE,
    )
    await server.write(stream, numbered(5))
    await vi.waitFor(() => expect(monitor.status()).toMatchObject({ position: 24n, head: 24n }), PATIENCE)
    await wrapped.unsubscribe()
    await consuming
    expect(monitor.status().state).toBe('ended')
    await noneIsOpen()
  })

  test("listeners alone tell what was delivered, and the client's own events come through", async () => {
    const { monitor, subscribe } = await monitored(10)
    const wrapped = subscribe()
    const heard: string[] = []
    wrapped.on('confirmation', () => heard.push('confirmation'))
    wrapped.on('data', () => heard.push('data'))
    await vi.waitFor(() => expect(monitor.status().deliveredEvents).toBe(10), PATIENCE)
    expect(heard.slice(0, 2)).toEqual(['confirmation', 'data'])
    expect(monitor.status()).toMatchObject({ processedEvents: 0, position: undefined, lagMs: undefined })
    wrapped.destroy()
    await noneIsOpen()
  })
})

describe('what was skipped', () => {
  steered('a jump of the revisions, between events and behind the stored one', async () => {
    const { stream, monitor, subscribe } = await monitored(10, { from: 2n })
    await server.skipRevisions(stream, 3n)
    await server.write(stream, numbered(2))
    await server.scavenge(stream, 0n, 4n)
    const consuming = consume(subscribe(2n))
    await vi.waitFor(() => expect(monitor.status().position).toBe(14n), PATIENCE)
    expect(monitor.status().skipped).toEqual({ truncated: 2n + 3n })
    monitor.stop()
    await server.endCalls({ kind: 'subscription', stream })
    await consuming
  })

  test('from the start the first jump is none', async () => {
    const { stream, monitor, subscribe } = await monitored(10)
    await db.setStreamMetadata(stream, { truncateBefore: 5 })
    const wrapped = subscribe()
    for await (const { event } of wrapped) if (event?.revision === 9n) break
    expect(monitor.status()).toMatchObject({ deliveredEvents: 5, skipped: {} })
  })

  test('a tombstone, whose revision is the greatest there is, loses none', async () => {
    const { stream, monitor, subscribe } = await monitored(3)
    const outcome = outcomeOf(consume(subscribe()))
    await vi.waitFor(() => expect(monitor.status()).toMatchObject({ state: 'live', position: 2n }), PATIENCE)
    await db.tombstoneStream(stream)
    expect(await outcome).toMatchObject({ type: 'stream-deleted' })
    expect(monitor.status()).toMatchObject({
      dropReason: 'stream-deleted',
      deliveredEvents: 4,
      position: 2n,
      skipped: {},
    })
  })

  test('a link whose target is gone', async () => {
    const { stream, monitor, subscribe } = await monitored(0, {}, { resolveLinkTos: true })
    await server.write(`${stream}-target`, numbered(2))
    await server.writeLink(stream, `${stream}-target`, 0n)
    await server.writeLink(stream, `${stream}-target`, 99n)
    await server.writeLink(stream, `${stream}-target`, 1n)
    let taken = 0
    for await (const { event, link } of subscribe()) {
      taken++
      if (link?.revision === 1n) expect(event).toBeUndefined()
      if (taken === 3) break
    }
    expect(monitor.status()).toMatchObject({ position: 1n, skipped: { unknown_event: 1n } })
  })

  steered('$all: offsets that jump are no events', async () => {
    const source = esdbEvents({ client: db })
    const monitor = monitorSubscription({ projection: 'mailer', source, headIntervalMs: 50 })
    await server.write('jumps', numbered(2))
    await server.skipBytes(1_000_000n)
    await server.write('jumps', numbered(2))
    const wrapped = monitor.wrap(db.subscribeToAll())
    const consuming = consume(wrapped)
    await vi.waitFor(() => expect(monitor.status().state).toBe('live'), PATIENCE)
    await vi.waitFor(() => expect(monitor.status().lagMs).toBe(0), PATIENCE)
    expect(monitor.status()).toMatchObject({ skipped: {}, lagPositions: undefined })
    expect(monitor.status().position).toEqual(monitor.status().head)
    await wrapped.unsubscribe()
    await consuming
  })
})

describe('drops', () => {
  steered('an error, with the type that the client gives it', async () => {
    const { stream, monitor, subscribe } = await monitored(3)
    const outcome = outcomeOf(consume(subscribe()))
    await vi.waitFor(() => expect(monitor.status().processedEvents).toBe(3), PATIENCE)
    await server.failCalls({ kind: 'subscription', stream }, 'access-denied')
    expect(await outcome).toBe(monitor.status().error)
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'access-denied', position: 2n })
  })

  restarting('a connection that is cut', async () => {
    const { stream, monitor, subscribe } = await monitored(3)
    const outcome = outcomeOf(consume(subscribe()))
    await vi.waitFor(() => expect(monitor.status().processedEvents).toBe(3), PATIENCE)
    if (isSimulated) await server.cutConnections({ kind: 'subscription', stream })
    else await server.restart({ keepLog: true })
    expect(await outcome).toBeInstanceOf(Error)
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'unavailable' })
  })

  steered('an end without an error', async () => {
    const { stream, monitor, subscribe } = await monitored(3)
    const outcome = outcomeOf(consume(subscribe()))
    await vi.waitFor(() => expect(monitor.status().processedEvents).toBe(3), PATIENCE)
    await server.endCalls({ kind: 'subscription', stream })
    expect(await outcome).toBe('no error')
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'silent_end' })
  })
})

steered('a server that goes silent has stalled, and has not when it goes on', async () => {
  const { stream, monitor, subscribe } = await monitored(3, { stallAfterMs: 300 })
  const wrapped = subscribe()
  const consuming = consume(wrapped)
  await vi.waitFor(() => expect(monitor.status().processedEvents).toBe(3), PATIENCE)
  await server.stall({ kind: 'subscription', stream })
  await server.write(stream, numbered(1))
  await vi.waitFor(() => expect(monitor.status().isStalled).toBe(true), PATIENCE)
  expect(monitor.status()).toMatchObject({ position: 2n, head: 3n, lagPositions: 1n })
  await server.resume()
  await vi.waitFor(() => expect(monitor.status()).toMatchObject({ isStalled: false, position: 3n }), PATIENCE)
  await wrapped.unsubscribe()
  await consuming
})

describe('a checkpoint beyond the head', () => {
  test('of a stream: an error that says so, and no call is left open', async () => {
    const { monitor, subscribe } = await monitored(3, { from: 40n })
    const error = await outcomeOf(consume(subscribe(40n)))
    expect(error).toBeInstanceOf(CheckpointBeyondHeadError)
    expect(error).toMatchObject({ from: '40', head: '2' })
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
    await noneIsOpen()
  })

  test('of a stream that is not there', async () => {
    const { subscribe } = await monitored(0, { from: 0n })
    expect(String(await outcomeOf(consume(subscribe(0n))))).toMatch(/is empty/)
  })

  steered('of $all after its log is gone', async () => {
    const other = await startEsdbServer()
    const client = connect(other)
    await other.write('orders', numbered(50))
    const source = esdbEvents({ client })
    const stored = await source.readHead(new AbortController().signal)
    if (stored === undefined) throw new Error('nothing was written')
    await other.restart({ keepLog: false })
    const monitor = monitorSubscription({ projection: 'mailer', source, from: stored, headIntervalMs: 50 })
    const wrapped = monitor.wrap(client.subscribeToAll({ fromPosition: stored }))
    expect(await outcomeOf(consume(wrapped))).toBeInstanceOf(CheckpointBeyondHeadError)
    await client.dispose()
    await other.stop()
  })

  test('that a busy store passes at once is told of all the same', async () => {
    const { stream, source, monitor, subscribe } = await monitored(3, { from: 9n, headIntervalMs: 60_000 })
    const readHead = vi.spyOn(source, 'readHead')
    const { readHead: read } = esdbEvents({ client: db, stream })
    readHead.mockImplementation(async (signal, how) => {
      const head = await read.call(source, signal, how)
      if (how?.requiresLeader) await server.write(stream, numbered(10))
      return head
    })
    const error = await outcomeOf(consume(subscribe(9n)))
    expect(error).toMatchObject({ code: 'TIDEMARK_CHECKPOINT_BEYOND_HEAD', from: '9', head: '2' })
    expect(monitor.status()).toMatchObject({ state: 'dropped', dropReason: 'checkpoint_beyond_head' })
    await noneIsOpen()
  })

  steered(
    'that a busy store passes is told of with a filter too: the next event stands below it',
    async () => {
      const other = await startEsdbServer()
      const client = connect(other)
      await other.write('orders', numbered(50))
      const filter = clients.streamNameFilter({ prefixes: ['orders'] })
      const source = esdbEvents({ client, filter })
      const from = await source.readHead(new AbortController().signal)
      if (from === undefined) throw new Error('nothing was written')
      await other.restart({ keepLog: false })
      const readNext = vi.spyOn(source, 'readNext')
      const monitor = monitorSubscription({ projection: 'mailer', source, from, headIntervalMs: 50 })
      const wrapped = monitor.wrap(
        client.subscribeToAll({ fromPosition: from, filter: monitor.filter(filter) }),
      )
      const outcome = outcomeOf(consume(wrapped))
      await vi.waitFor(() => expect(readNext).toHaveBeenCalled(), PATIENCE)
      // No more at once than the oldest generation keeps for a consumer.
      for (let round = 0; round < 5; round++) await other.write('orders', numbered(20))
      expect(await outcome).toBeInstanceOf(CheckpointBeyondHeadError)
      await client.dispose()
      await other.stop()
    },
  )

  steered("a filter's, at a record that no reading shows, is none", async () => {
    const named = clients.streamNameFilter({ prefixes: ['shown'], maxSearchWindow: 1, checkpointInterval: 1 })
    const checkpoints: Position[] = []
    const first = db.subscribeToAll({
      fromPosition: 'end',
      filter: { ...named, checkpointReached: (_, at) => void checkpoints.push(at) },
    })
    const consumed = consume(first)
    await new Promise((resolve) => first.once('caughtUp', resolve))
    // A group of $all keeps its checkpoint so; it is left out of $all.
    await server.write('$persistentsubscription-$all::mailer-checkpoint', [
      { type: '$SubscriptionCheckpoint' },
    ])
    await vi.waitFor(() => expect(checkpoints).not.toEqual([]), PATIENCE)
    await first.unsubscribe()
    await consumed

    const from = checkpoints.at(-1) ?? 'start'
    const source = esdbEvents({ client: db, filter: named })
    const monitor = monitorSubscription({ projection: 'mailer', source, from, headIntervalMs: 50 })
    const readNext = vi.spyOn(source, 'readNext')
    const wrapped = monitor.wrap(db.subscribeToAll({ fromPosition: from, filter: monitor.filter(named) }))
    const consuming = outcomeOf(consume(wrapped))
    await vi.waitFor(() => expect(readNext.mock.calls.length).toBeGreaterThan(2), PATIENCE)
    await server.write('shown', numbered(1))
    await vi.waitFor(() => expect(monitor.status().deliveredEvents).toBe(1), PATIENCE)
    await wrapped.unsubscribe()
    expect(await consuming).toBe('no error')
  })

  test('at the head there is none', async () => {
    const { stream, monitor, subscribe } = await monitored(3, { from: 2n })
    const wrapped = subscribe(2n)
    const consuming = consume(wrapped)
    await vi.waitFor(() => expect(monitor.status().state).toBe('live'), PATIENCE)
    await server.write(stream, numbered(1))
    await vi.waitFor(() => expect(monitor.status().position).toBe(3n), PATIENCE)
    await wrapped.unsubscribe()
    await consuming
  })
})

test("a filter's checkpoints move the position, and are the user's too", async () => {
  const stream = unique('filtered')
  const fromPosition = await endOfAll(db)
  await server.write(stream, numbered(2))
  await server.write(unique('noise'), numbered(300))
  const source = esdbEvents({ client: db, filter: { filterOn: 'streamName', prefixes: [stream] } })
  const monitor = monitorSubscription({
    projection: 'mailer',
    source,
    from: fromPosition,
    headIntervalMs: 50,
  })
  const reached = vi.fn(async () => {})
  const filter = monitor.filter(
    clients.streamNameFilter({ prefixes: [stream], checkpointInterval: 1, checkpointReached: reached }),
  )
  const wrapped = monitor.wrap(db.subscribeToAll({ fromPosition, filter }))
  const consuming = consume(wrapped)
  await vi.waitFor(() => expect(reached).toHaveBeenCalled(), PATIENCE)
  await vi.waitFor(() => {
    const [, last] = (reached.mock.calls.at(-1) ?? []) as unknown as [unknown, { commit: bigint }]
    expect(monitor.status()).toMatchObject({ processedEvents: 2, position: last })
  }, PATIENCE)
  expect(monitor.status().isStalled).toBeUndefined()
  await wrapped.unsubscribe()
  await consuming
})

test('a process that has left its loop ends by itself', async () => {
  const { stream } = await monitored(3)
  const args = [server.connectionString, clientName, stream]
  const child = spawn(process.execPath, [programPath('wrapped-subscription'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
  })
  const [code] = await once(child, 'exit')
  expect(code).toBe(0)
  expect(output).toContain('Numbered')
})
