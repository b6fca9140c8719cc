import { afterEach, describe, expect, test } from 'vitest'
import type { ErrorName } from '../../support/esdb-server/errors.ts'
import { client, clientName, connect, expecting } from '../client.ts'
import { describeSteered, isSimulated, restarting, steered } from '../server-in-use.ts'
import { all, failure, listen, numbered, revisions, unique, until, useServer } from './rig.ts'

const rig = useServer()
const isNewer = clientName === 'kurrentdb'

interface Row {
  readonly error: ErrorName
  /** The older client, the newer one. */
  readonly subscriptions: readonly [string, string]
  /** The newer client reads natively, and that knows fewer errors (kurrentdb/src/types.rs, bridge/src/error.rs). */
  readonly reads: readonly [string, string]
}

const both = (type: string) => [type, type] as const

// What the clients make of an error: by its `exception`, else by its code (utils/CommandError.js of both).
const ERRORS: readonly Row[] = [
  { error: 'not-leader', subscriptions: both('not-leader'), reads: both('not-leader') },
  { error: 'no-leader-info', subscriptions: both('unknown'), reads: ['unknown', 'unavailable'] },
  { error: 'access-denied', subscriptions: both('access-denied'), reads: both('access-denied') },
  { error: 'unauthenticated', subscriptions: both('access-denied'), reads: both('access-denied') },
  { error: 'stream-deleted', subscriptions: both('stream-deleted'), reads: both('stream-deleted') },
  { error: 'server-not-ready', subscriptions: both('unavailable'), reads: both('unavailable') },
  { error: 'server-busy', subscriptions: both('unavailable'), reads: both('unavailable') },
  // Without the details of newer protocols, ABORTED is nothing that the newer client knows.
  { error: 'timeout', subscriptions: ['timeout', 'unknown'], reads: ['timeout', 'unknown'] },
  { error: 'consumer-too-slow', subscriptions: ['timeout', 'unknown'], reads: ['timeout', 'unknown'] },
  { error: 'deadline-exceeded', subscriptions: both('deadline-exceeded'), reads: both('deadline-exceeded') },
  { error: 'cancelled', subscriptions: both('cancelled'), reads: ['cancelled', 'unknown'] },
  { error: 'unknown', subscriptions: both('unknown'), reads: ['unknown', 'unavailable'] },
  { error: 'invalid-position', subscriptions: both('unknown'), reads: both('unknown') },
]

describeSteered('the server, told to misbehave,', () => {
  afterEach(() => rig.server.resume())

  test.each(ERRORS)('drops a subscription with $error, which clients call $subscriptions', async (row) => {
    const db = connect(rig.server)
    const stream = unique('orders')
    const heard = listen(db.subscribeToStream(stream))
    await until(() => heard.said.includes('confirmation'))
    expect(await rig.server.failCalls({ stream }, row.error)).toBe(1)
    await until(() => heard.said.includes(`error ${row.subscriptions[isNewer ? 1 : 0]}`))
    await db.dispose()
  })

  test.each(ERRORS)('refuses a read with $error, which clients call $reads', async (row) => {
    const db = connect(rig.server)
    await rig.server.refuseCalls({ kind: 'read' }, row.error, 1, { host: '127.0.0.1', port: rig.server.port })
    expect(await failure(db.readAll({ maxCount: 1 }))).toMatchObject({ type: row.reads[isNewer ? 1 : 0] })
    await db.dispose()
  })

  test('drops a persistent subscription, and says of which group', async () => {
    const [stream, group] = [unique('orders'), unique('group')]
    const settings = client.persistentSubscriptionToStreamSettingsFromDefaults()
    await rig.db.createPersistentSubscriptionToStream(stream, group, settings)
    const subscription = rig.db.subscribeToPersistentSubscriptionToStream(stream, group)
    const dropped = new Promise((resolve) => subscription.on('error', resolve))
    const heard = listen(subscription)
    await until(() => heard.said.includes('confirmation'))
    await rig.server.failCalls({ kind: 'persistent-subscription' }, 'persistent-subscription-dropped')
    expect(await dropped).toMatchObject({
      type: 'persistent-subscription-dropped',
      streamName: stream,
      groupName: group,
    })
  })

  test('does what it is asked, and does not answer before the deadline', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(1))
    await rig.server.stall({ kind: 'other', stream })
    await expect(rig.db.deleteStream(stream, { deadline: 200 })).rejects.toMatchObject({
      type: 'deadline-exceeded',
    })
    expect(await failure(rig.db.readStream(stream))).toMatchObject({ type: 'stream-not-found' })
  })

  test.each([
    // The two ways in which clients append.
    ['in a call of its own', { credentials: { username: 'admin', password: 'changeit' } }],
    ['in the one call for all appends', {}],
  ])('answers a read before an append that hung, %s', async (_, options) => {
    const [hung, next] = [unique('orders'), unique('orders')]
    await rig.server.postpone({ kind: 'append', stream: hung })
    const appending = rig.db.appendToStream(hung, numbered(1), options)
    // Behind it on the same connection.
    await rig.db.appendToStream(next, numbered(1), options)
    expect(await failure(rig.db.readStream(hung))).toMatchObject({ type: 'stream-not-found' })
    await rig.server.resume()
    expect(await appending).toMatchObject({ success: true, nextExpectedRevision: 0n })
    expect(await all(rig.db.readStream(hung))).toHaveLength(1)
  })

  test('writes what it is given, and loses the connection before it answers', async () => {
    const db = connect(rig.server)
    const stream = unique('orders')
    await rig.server.stall({ kind: 'append' })
    const appending = db.appendToStream(stream, numbered(1)).catch((error) => error)
    await until(async () => (await all(rig.db.readStream(stream)).catch(() => [])).length === 1)
    await rig.server.cutConnections({ kind: 'append' })
    expect(await appending).toMatchObject({ type: 'unavailable' })
    await db.dispose()
  })

  test('says who leads, and the client goes there', async () => {
    const db = connect(rig.server)
    const leader = { host: '127.0.0.1', port: rig.server.port }
    await rig.server.refuseCalls({ kind: 'append' }, 'not-leader', 1, leader)
    await expect(db.appendToStream(unique('orders'), numbered(1))).rejects.toMatchObject({
      type: 'not-leader',
      leader: { address: '127.0.0.1', port: rig.server.port },
    })
    await db.appendToStream(unique('orders'), numbered(1))
    await db.dispose()
  })

  test('refuses as often as it was told', async () => {
    await rig.server.refuseCalls({ kind: 'append' }, 'access-denied', 2)
    const append = () => rig.db.appendToStream(unique('orders'), numbered(1))
    await expect(append()).rejects.toMatchObject({ type: 'access-denied' })
    await expect(append()).rejects.toMatchObject({ type: 'access-denied' })
    await append()
  })

  test('ends a subscription without an error', async () => {
    const heard = listen(rig.db.subscribeToStream(unique('orders')))
    await until(() => heard.said.includes('confirmation'))
    await rig.server.endCalls({ kind: 'subscription' })
    await until(() => heard.said.includes('end'))
    expect(heard.said.filter((said) => said !== 'caughtUp')).toEqual(['confirmation', 'end'])
  })

  test('cuts only the connection of a subscription', async () => {
    // Clients with the same options share a connection.
    const db = connect({ connectionString: `${rig.server.connectionString}&keepAliveInterval=20000` })
    const [subscribed, other] = [unique('orders'), unique('orders')]
    const heard = listen(db.subscribeToStream(subscribed))
    const heardOther = listen(rig.db.subscribeToStream(other))
    await until(() => [heard, heardOther].every(({ said }) => said.includes('confirmation')))
    expect(await rig.server.cutConnections({ stream: subscribed })).toBe(1)
    await until(() => heard.said.includes('error unavailable'))
    await rig.db.appendToStream(other, numbered(1))
    await until(() => heardOther.events.length === 1)
    await rig.server.endCalls({ kind: 'subscription' })
    await db.dispose()
  })

  test('cuts every connection', async () => {
    const db = connect(rig.server)
    const stream = unique('orders')
    await db.appendToStream(stream, numbered(1))
    const heard = listen(db.subscribeToStream(stream))
    await until(() => heard.said.includes('confirmation'))
    await rig.server.cutConnections()
    await until(() => heard.said.includes('error unavailable'))
    await until(async () => (await rig.server.counters()).open.subscription === 0)
    expect(revisions(await all(db.readStream(stream)))).toEqual([0n])
    await db.dispose()
  })

  test('falls silent in the middle, and goes on where it stopped', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(10))
    // The confirmation, and four events.
    await rig.server.stall({ kind: 'subscription', stream }, 5)
    const subscription = rig.db.subscribeToStream(stream)
    const heard = listen(subscription)
    await until(() => heard.events.length === 4)
    await rig.db.appendToStream(stream, numbered(1))
    expect(heard.events).toHaveLength(4)
    await rig.server.resume()
    await until(() => heard.events.length === 11)
    expect(revisions(heard.events)).toEqual(Array.from({ length: 11 }, (_, i) => BigInt(i)))
    await subscription.unsubscribe()
  })

  test('never ends a read that it stalls', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(5))
    await rig.server.stall({ kind: 'read', stream }, 2)
    const reading = all(rig.db.readStream(stream))
    await until(async () => (await rig.server.counters()).open.read === 1)
    await rig.server.resume()
    expect(await reading).toHaveLength(5)
  })

  test('is slow, until it is told to resume', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(3))
    await rig.server.delay({ kind: 'read', stream }, 600_000)
    const reading = all(rig.db.readStream(stream))
    await until(async () => (await rig.server.counters()).open.read === 1)
    await rig.server.resume()
    expect(await reading).toHaveLength(3)
  })

  test('freezes with its connections open', async () => {
    const stream = unique('orders')
    const subscription = rig.db.subscribeToStream(stream)
    const heard = listen(subscription)
    await until(() => heard.said.includes('confirmation'))
    rig.server.freeze()
    const appended = rig.db.appendToStream(stream, numbered(1))
    rig.server.thaw()
    await appended
    await until(() => heard.events.length === 1)
    await subscription.unsubscribe()
  })

  test.runIf(isNewer)('can say that a subscription fell behind (newer client only)', async () => {
    const subscription = rig.db.subscribeToStream(unique('orders'))
    const heard = listen(subscription)
    await until(() => heard.said.includes('confirmation'))
    await rig.server.sendFellBehind({ kind: 'subscription' })
    await until(() => heard.said.includes('fellBehind'))
    await subscription.unsubscribe()
  })

  test('writes statistics as a server does by itself', async () => {
    await rig.server.writeStatistics()
    const [last] = await all(rig.db.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }))
    expect(last?.event).toMatchObject({
      type: '$statsCollected',
      streamId: `$stats-127.0.0.1:${rig.server.port}`,
    })
  })

  test('counts the calls that are open, and the events that clients append', async () => {
    const db = connect(rig.server)
    const before = await rig.server.counters()
    const subscription = db.subscribeToStream(unique('orders'))
    const heard = listen(subscription)
    await until(() => heard.said.includes('confirmation'))
    await db.appendToStream(unique('orders'), numbered(3))
    await rig.server.write(unique('orders'), [{ type: 'Ours' }])
    const during = await rig.server.counters()
    expect(during.open.subscription - before.open.subscription).toBe(1)
    expect(during.received.subscription - before.received.subscription).toBe(1)
    expect(during.eventsAppended - before.eventsAppended).toBe(3)
    await subscription.unsubscribe()
    await until(async () => (await rig.server.counters()).open.subscription === before.open.subscription)
    await db.dispose()
  })
})

steered('a client that is given several nodes asks who leads, and finds this one', async () => {
  const address = `127.0.0.1:${rig.server.port}`
  const db = connect({ connectionString: `esdb://${address},${address}?tls=false` })
  const stream = unique('orders')
  await db.appendToStream(stream, numbered(1))
  expect(await all(db.readStream(stream))).toHaveLength(1)
  await db.dispose()
})

describe('a restart', () => {
  restarting('keeps the log and the port, and breaks what is open', async () => {
    const db = connect(rig.server)
    const stream = unique('orders')
    await db.appendToStream(stream, numbered(2))
    const heard = listen(db.subscribeToStream(stream))
    await until(() => heard.said.includes('confirmation'))
    await rig.server.restart({ keepLog: true })
    await until(() => heard.said.includes('error unavailable'))
    expect(revisions(await all(db.readStream(stream)))).toEqual([0n, 1n])
    await db.dispose()
  })

  steered('without its log has forgotten every stream', async () => {
    const db = connect(rig.server)
    const stream = unique('orders')
    await db.appendToStream(stream, numbered(2))
    await rig.server.restart({ keepLog: false })
    const again = connect(rig.server)
    expect(await failure(again.readStream(stream))).toMatchObject({ type: 'stream-not-found' })
    await again.appendToStream(stream, numbered(1), expecting('no_stream'))
    await Promise.all([again.dispose(), db.dispose()])
  })

  steered('refuses connections until it opens again', async () => {
    await rig.server.close()
    const refused = connect(rig.server)
    // Of the very first call it is a plain gRPC error: neither client converts what asking for the features ends with.
    const appending = refused.appendToStream(unique('orders'), numbered(1)).catch((error) => error)
    const reading = failure(refused.readAll())
    const errors = await Promise.all([appending, reading])
    await rig.server.open()
    expect(errors).toMatchObject([{ code: 14 }, { type: 'unavailable' }])
    const db = connect(rig.server)
    await db.appendToStream(unique('orders'), numbered(1))
    await Promise.all([db.dispose(), refused.dispose()])
  })

  test.runIf(isSimulated && isNewer)(
    'is never read by a client of which the first read came too early',
    async () => {
      await rig.server.close()
      const early = connect(rig.server)
      expect(await failure(early.readAll())).toMatchObject({ type: 'unavailable' })
      await rig.server.open()
      const late = connect(rig.server)
      expect(await all(late.readAll({ maxCount: 1 }))).toHaveLength(1)
      expect(await failure(early.readAll())).toMatchObject({ type: 'unavailable' })
      await Promise.all([early.dispose(), late.dispose()])
    },
  )

  restarting('lets a group go on at its checkpoint', async () => {
    const db = connect(rig.server)
    const [stream, group] = [unique('orders'), unique('group')]
    const settings = client.persistentSubscriptionToStreamSettingsFromDefaults({
      startFrom: 'start',
      checkPointLowerBound: 1,
      checkPointUpperBound: 1,
    })
    await db.createPersistentSubscriptionToStream(stream, group, settings)
    await db.appendToStream(stream, numbered(3))
    const first = db.subscribeToPersistentSubscriptionToStream(stream, group, { bufferSize: 3 })
    const heard = listen(first)
    await until(() => heard.events.length === 3)
    await first.ack(...(heard.events.slice(0, 2) as never[]))
    await until(
      async () =>
        (await db.getPersistentSubscriptionToStreamInfo(stream, group)).stats
          .lastCheckpointedEventRevision === 1n,
    )
    await rig.server.restart({ keepLog: true })
    await until(() => heard.said.includes('error unavailable'))
    const again = connect(rig.server)
    const second = again.subscribeToPersistentSubscriptionToStream(stream, group)
    const rest = listen(second)
    await until(() => rest.events.length > 0)
    expect(revisions(rest.events)).toEqual([2n])
    await Promise.all([again.dispose(), db.dispose()])
  })
})
