import { describe, expect, test } from 'vitest'
import { GENERATIONS } from '../../support/esdb-server/generations.ts'
import { clientName } from '../client.ts'
import { generation, isSimulated } from '../server-in-use.ts'
import { listen, numbered, revisions, unique, until, useServer } from './rig.ts'

const rig = useServer()
const { saysWhen: saysWhere, subscriptions } = GENERATIONS[generation]
const goesBack = subscriptions === 'goes-back-to-log'

// Enumerator.StreamSubscription.cs; the clients' docs on catch-up subscriptions.
describe('a subscription to a stream', () => {
  test('is confirmed, catches up, says so, and goes on with new events', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(2))
    const subscription = rig.db.subscribeToStream(stream)
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    await rig.db.appendToStream(stream, numbered(2))
    await until(() => heard.events.length === 4)
    expect(heard.said).toEqual(['confirmation', 'event 0', 'event 1', 'caughtUp', 'event 2', 'event 3'])
    await subscription.unsubscribe()
  })

  test('begins behind the revision given', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(3))
    const subscription = rig.db.subscribeToStream(stream, { fromRevision: 1n })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    expect(heard.said).toEqual(['confirmation', 'event 2', 'caughtUp'])
    await subscription.unsubscribe()
  })

  test('from the end is live at once', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(3))
    const subscription = rig.db.subscribeToStream(stream, { fromRevision: 'end' })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    await rig.db.appendToStream(stream, numbered(1))
    await until(() => heard.events.length === 1)
    expect(heard.said).toEqual(['confirmation', 'caughtUp', 'event 3'])
    await subscription.unsubscribe()
  })

  test('that does not exist yet waits for it', async () => {
    const stream = unique('orders')
    const subscription = rig.db.subscribeToStream(stream)
    const heard = listen(subscription)
    await until(() => heard.said.includes('confirmation'))
    await rig.db.appendToStream(stream, numbered(1))
    // Before it or behind it: see `generations`.
    await until(() => heard.events.length === 1 && heard.said.includes('caughtUp'))
    expect(heard.said).toHaveLength(3)
    expect(heard.said[0]).toBe('confirmation')
    await subscription.unsubscribe()
  })

  test('from beyond the end silently passes over every event up to there', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(1))
    const subscription = rig.db.subscribeToStream(stream, { fromRevision: 3n })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    await rig.db.appendToStream(stream, numbered(4))
    await until(() => heard.events.length === 1)
    expect(revisions(heard.events)).toEqual([4n])
    await subscription.unsubscribe()
  })

  test.runIf(clientName === 'kurrentdb' && saysWhere)(
    'says where it has caught up (newer client only)',
    async () => {
      const stream = unique('orders')
      await rig.db.appendToStream(stream, numbered(2))
      const [full, empty] = [rig.db.subscribeToStream(stream), rig.db.subscribeToStream(unique('nothing'))]
      const [heard, heardEmpty] = [listen(full), listen(empty)]
      await until(() => heard.caughtUp.length + heardEmpty.caughtUp.length === 2)
      expect(heard.caughtUp[0]).toMatchObject({ revision: 1n, date: expect.any(Date) })
      expect(heardEmpty.caughtUp[0]).not.toHaveProperty('revision')
      await Promise.all([full.unsubscribe(), empty.unsubscribe()])
    },
  )

  test('unsubscribed ends without an error', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(1))
    const subscription = rig.db.subscribeToStream(stream)
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    await subscription.unsubscribe()
    await until(() => heard.said.includes('end'))
    expect(heard.said).toEqual(['confirmation', 'event 0', 'caughtUp', 'end'])
  })
})

// Enumerator.AllSubscription.cs
describe('a subscription to $all', () => {
  test('begins behind the position given, and shows system events', async () => {
    const stream = unique('orders')
    const { position } = await rig.db.appendToStream(stream, numbered(1))
    if (position === undefined) throw new Error('no position')
    await rig.db.appendToStream(stream, numbered(1))
    await rig.db.setStreamMetadata(stream, { maxCount: 10 })
    const subscription = rig.db.subscribeToAll({ fromPosition: position })
    const heard = listen(subscription)
    const own = () => heard.events.flatMap(({ event }) => (event?.streamId.endsWith(stream) ? [event] : []))
    await until(() => own().length === 2)
    expect(own()).toMatchObject([
      { streamId: stream, revision: 1n },
      { streamId: `$$${stream}`, type: '$metadata' },
    ])
    await subscription.unsubscribe()
  })

  test.runIf(goesBack)('from beyond the end silently passes over every event up to there', async () => {
    const { position } = await rig.db.appendToStream(unique('orders'), numbered(1))
    const beyond = (position?.commit ?? 0n) + 1_000n
    const subscription = rig.db.subscribeToAll({ fromPosition: { commit: beyond, prepare: beyond } })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    await rig.db.appendToStream(unique('orders'), numbered(30))
    await until(() => heard.events.length > 0)
    expect(heard.events[0]?.commitPosition).toBeGreaterThan(beyond)
    await subscription.unsubscribe()
  })

  test('from where no event begins is an error', async () => {
    const { position } = await rig.db.appendToStream(unique('orders'), numbered(2))
    const middle = (position?.commit ?? 0n) - 1n
    const heard = listen(rig.db.subscribeToAll({ fromPosition: { commit: middle, prepare: middle } }))
    await until(() => heard.said.includes('error unknown'))
    expect(heard.events).toEqual([])
  })

  test.runIf(isSimulated && goesBack)(
    'to which events come too fast goes back to the log, and loses none',
    async () => {
      const stream = unique('orders')
      const subscription = rig.db.subscribeToAll({ fromPosition: 'end' })
      const heard = listen(subscription)
      await until(() => heard.said.includes('caughtUp'))
      // More than the server buffers for a subscription that is live.
      await rig.server.stall({ kind: 'subscription' })
      await rig.server.write(
        stream,
        Array.from({ length: 200 }, () => ({ type: 'Fast' })),
      )
      await rig.server.resume()
      await until(() => heard.said.filter((said) => said === 'caughtUp').length === 2)
      const own = heard.events.filter(({ event }) => event?.streamId === stream)
      expect(revisions(own)).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i)))
      await subscription.unsubscribe()
    },
  )
})
