import type { PersistentSubscriptionToStream } from '@eventstore/db-client'
import { describe, expect, test } from 'vitest'
import { client } from '../client.ts'
import { type Heard, listen, numbered, revisions, unique, until, useServer } from './rig.ts'

const rig = useServer()

const settings = client.persistentSubscriptionToStreamSettingsFromDefaults

interface Group {
  readonly stream: string
  readonly group: string
}

async function createGroup(changes: Parameters<typeof settings>[0] = {}): Promise<Group> {
  const [stream, group] = [unique('orders'), unique('group')]
  await rig.db.createPersistentSubscriptionToStream(
    stream,
    group,
    settings({ startFrom: 'start', ...changes }),
  )
  return { stream, group }
}

const infoOf = ({ stream, group }: Group) => rig.db.getPersistentSubscriptionToStreamInfo(stream, group)

function subscribe({ stream, group }: Group, bufferSize = 10): [PersistentSubscriptionToStream, Heard] {
  const subscription = rig.db.subscribeToPersistentSubscriptionToStream(stream, group, { bufferSize })
  return [subscription, listen(subscription)]
}

// PersistentSubscriptions.Create.cs, Update.cs, Delete.cs, Info.cs; PersistentSubscriptionService.cs
describe('a group', () => {
  test('that exists cannot be created again', async () => {
    const { stream, group } = await createGroup()
    await expect(
      rig.db.createPersistentSubscriptionToStream(stream, group, settings()),
    ).rejects.toMatchObject({
      type: 'persistent-subscription-exists',
      streamName: stream,
      groupName: group,
    })
  })

  test('that does not exist cannot be subscribed to, updated, deleted or asked about', async () => {
    const stream = unique('orders')
    const expected = { type: 'persistent-subscription-does-not-exist', streamName: stream, groupName: 'none' }
    const [, heard] = subscribe({ stream, group: 'none' })
    await until(() => heard.said.length > 0)
    expect(heard.said).toEqual(['error persistent-subscription-does-not-exist'])
    await expect(infoOf({ stream, group: 'none' })).rejects.toMatchObject(expected)
    await expect(rig.db.deletePersistentSubscriptionToStream(stream, 'none')).rejects.toMatchObject(expected)
    await expect(
      rig.db.updatePersistentSubscriptionToStream(stream, 'none', settings()),
    ).rejects.toMatchObject(expected)
  })

  test.each(['delete', 'update'] as const)('drops its subscribers on %s', async (what) => {
    const group = await createGroup()
    const [, heard] = subscribe(group)
    await until(() => heard.said.includes('confirmation'))
    if (what === 'delete') await rig.db.deletePersistentSubscriptionToStream(group.stream, group.group)
    else
      await rig.db.updatePersistentSubscriptionToStream(
        group.stream,
        group.group,
        settings({ maxRetryCount: 1 }),
      )
    await until(() => heard.said.includes('error persistent-subscription-dropped'))
  })

  test('takes no more subscribers than its maximum', async () => {
    const group = await createGroup({ maxSubscriberCount: 1 })
    const [first, heardFirst] = subscribe(group)
    await until(() => heardFirst.said.includes('confirmation'))
    const [, heard] = subscribe(group)
    await until(() => heard.said.length > 0)
    expect(heard.said).toEqual(['error maximum-subscribers-reached'])
    await first.unsubscribe()
  })

  test('tells its settings, its connections and how far it is', async () => {
    const group = await createGroup({ checkPointLowerBound: 1, maxRetryCount: 3 })
    await rig.db.appendToStream(group.stream, numbered(5))
    const [subscription, heard] = subscribe(group, 3)
    await until(() => heard.events.length === 3)
    expect(await infoOf(group)).toMatchObject({
      eventSource: group.stream,
      groupName: group.group,
      status: 'Live',
      settings: {
        startFrom: 'start',
        maxRetryCount: 3,
        maxSubscriberCount: 'unbounded',
        checkPointLowerBound: 1,
      },
      connections: [
        { connectionName: rig.db.connectionName, inFlightMessages: 3, availableSlots: 0, totalItems: 3n },
      ],
      stats: {
        totalItems: 3n,
        outstandingMessagesCount: 3,
        totalInFlightMessages: 3,
        readBufferCount: 2,
        parkedMessageCount: 0n,
        lastKnownEventRevision: 4n,
        lastCheckpointedEventRevision: undefined,
      },
    })
    await subscription.unsubscribe()
  })

  test('is in the lists of its stream, and of all', async () => {
    const { stream, group } = await createGroup()
    const ofStream = await rig.db.listPersistentSubscriptionsToStream(stream)
    expect(ofStream.map(({ groupName }) => groupName)).toEqual([group])
    const everywhere = await rig.db.listAllPersistentSubscriptions()
    expect(everywhere.map(({ groupName }) => groupName)).toContain(group)
  })
})

// PersistentSubscription.cs
describe('the messages of a group', () => {
  test('are handed out as they are acknowledged, no more at a time than the buffer holds', async () => {
    const group = await createGroup()
    await rig.db.appendToStream(group.stream, numbered(5))
    const [subscription, heard] = subscribe(group, 2)
    await until(() => heard.events.length === 2)
    await subscription.ack(...(heard.events.slice(0, 2) as never[]))
    await until(() => heard.events.length === 4)
    expect(revisions(heard.events)).toEqual([0n, 1n, 2n, 3n])
    expect((await infoOf(group)).stats.outstandingMessagesCount).toBe(2)
    await subscription.unsubscribe()
  })

  test('go to one subscriber each', async () => {
    const group = await createGroup()
    const [first, heardFirst] = subscribe(group)
    const [second, heardSecond] = subscribe(group)
    await until(() => [heardFirst, heardSecond].every(({ said }) => said.includes('confirmation')))
    await rig.db.appendToStream(group.stream, numbered(10))
    await until(() => heardFirst.events.length + heardSecond.events.length === 10)
    expect(heardFirst.events).toHaveLength(5)
    expect(new Set(revisions([...heardFirst.events, ...heardSecond.events])).size).toBe(10)
    await Promise.all([first.unsubscribe(), second.unsubscribe()])
  })

  test('that a subscriber leaves behind go to another, with a higher retry count', async () => {
    const group = await createGroup()
    await rig.db.appendToStream(group.stream, numbered(2))
    const [first, heardFirst] = subscribe(group)
    await until(() => heardFirst.events.length === 2)
    await first.unsubscribe()
    const [second, heard] = subscribe(group)
    await until(() => heard.events.length === 2)
    expect(revisions(heard.events)).toEqual([0n, 1n])
    expect(heard.events.map((event) => (event as never as { retryCount: number }).retryCount)).toEqual([1, 1])
    await second.unsubscribe()
  })

  test('refused with `retry` come again, and are parked after the last retry', async () => {
    const group = await createGroup({ maxRetryCount: 2 })
    await rig.db.appendToStream(group.stream, numbered(1))
    const [subscription, heard] = subscribe(group)
    subscription.on('data', (event) => void subscription.nack('retry', 'not now', event))
    await until(async () => (await infoOf(group)).stats.parkedMessageCount === 1n)
    expect(revisions(heard.events)).toEqual([0n, 0n, 0n])
    await subscription.unsubscribe()
  })

  test.each([
    ['park', 1n],
    ['skip', 0n],
    // What the name promises is not in the server: StopSubscription is empty.
    ['stop', 0n],
  ] as const)('refused with `%s` do not come again', async (action, parked) => {
    const group = await createGroup()
    await rig.db.appendToStream(group.stream, numbered(2))
    const [subscription, heard] = subscribe(group, 1)
    await until(() => heard.events.length === 1)
    await subscription.nack(action, 'because', ...(heard.events as never[]))
    await until(() => heard.events.length === 2)
    expect(revisions(heard.events)).toEqual([0n, 1n])
    expect((await infoOf(group)).stats.parkedMessageCount).toBe(parked)
    await subscription.unsubscribe()
  })

  test('that were parked come again when they are replayed', async () => {
    const group = await createGroup()
    await rig.db.appendToStream(group.stream, numbered(1))
    const [subscription, heard] = subscribe(group)
    await until(() => heard.events.length === 1)
    await subscription.nack('park', 'because', ...(heard.events as never[]))
    await until(async () => (await infoOf(group)).stats.parkedMessageCount === 1n)
    await rig.db.replayParkedMessagesToStream(group.stream, group.group)
    await until(() => heard.events.length === 2)
    expect(heard.events[1]?.event).toMatchObject({ streamId: group.stream, revision: 0n })
    expect((await infoOf(group)).stats.parkedMessageCount).toBe(0n)
    await subscription.unsubscribe()
  })

  test('not acknowledged in time come again', async () => {
    const group = await createGroup({ messageTimeout: 100 })
    await rig.db.appendToStream(group.stream, numbered(1))
    const [subscription, heard] = subscribe(group)
    await until(() => heard.events.length === 2)
    expect(revisions(heard.events)).toEqual([0n, 0n])
    await subscription.unsubscribe()
  })

  test('of a group that starts at the end are those to come', async () => {
    const [stream, group] = [unique('orders'), unique('group')]
    await rig.db.appendToStream(stream, numbered(3))
    await rig.db.createPersistentSubscriptionToStream(stream, group, settings({ startFrom: 'end' }))
    await rig.db.appendToStream(stream, numbered(1))
    const [subscription, heard] = subscribe({ stream, group })
    await until(() => heard.events.length === 1)
    expect(revisions(heard.events)).toEqual([3n])
    await subscription.unsubscribe()
  })
})

describe('the checkpoint of a group', () => {
  test('is written when enough is done, and never beyond what is not', async () => {
    const group = await createGroup({ checkPointUpperBound: 3, checkPointLowerBound: 1 })
    await rig.db.appendToStream(group.stream, numbered(6))
    const [subscription, heard] = subscribe(group)
    await until(() => heard.events.length === 6)
    const [first, second, third, fourth] = heard.events as never[]
    await subscription.ack(second as never, third as never, fourth as never)
    await until(async () => (await infoOf(group)).stats.outstandingMessagesCount === 3)
    expect((await infoOf(group)).stats.lastCheckpointedEventRevision).toBeUndefined()
    await subscription.ack(first as never)
    await until(async () => (await infoOf(group)).stats.lastCheckpointedEventRevision === 3n)
    await subscription.unsubscribe()
  })

  test('is where an updated group goes on', async () => {
    const changes = { checkPointUpperBound: 1, checkPointLowerBound: 1 }
    const group = await createGroup(changes)
    await rig.db.appendToStream(group.stream, numbered(3))
    const [subscription, heard] = subscribe(group)
    await until(() => heard.events.length === 3)
    await subscription.ack(...(heard.events.slice(0, 2) as never[]))
    await until(async () => (await infoOf(group)).stats.lastCheckpointedEventRevision === 1n)
    await rig.db.updatePersistentSubscriptionToStream(group.stream, group.group, settings(changes))
    await until(() => heard.said.includes('error persistent-subscription-dropped'))
    const [again, heardAgain] = subscribe(group)
    await until(() => heardAgain.events.length > 0)
    expect(revisions(heardAgain.events)).toEqual([2n])
    await again.unsubscribe()
  })
})

describe('a group of $all', () => {
  const toAll = client.persistentSubscriptionToAllSettingsFromDefaults

  test('hands out what its filter lets through, and tells positions', async () => {
    const [stream, group] = [unique('orders'), unique('group')]
    const { position } = await rig.db.appendToStream(unique('marker'), numbered(1))
    if (position === undefined) throw new Error('no position')
    const filter = client.streamNameFilter({ prefixes: [stream] })
    const changes = { startFrom: position, checkPointLowerBound: 1, checkPointUpperBound: 1 }
    await rig.db.createPersistentSubscriptionToAll(group, toAll(changes), { filter })
    await rig.db.appendToStream(unique('other'), numbered(5))
    const { position: last } = await rig.db.appendToStream(stream, numbered(1))
    const subscription = rig.db.subscribeToPersistentSubscriptionToAll(group)
    const heard = listen(subscription)
    await until(() => heard.events.length === 1)
    expect(heard.events[0]?.event).toMatchObject({ streamId: stream, position: last })
    await subscription.ack(heard.events[0] as never)
    await until(async () => {
      const { stats } = await rig.db.getPersistentSubscriptionToAllInfo(group)
      return (stats.lastCheckpointedEventPosition?.commit ?? 0n) >= (last?.commit ?? 0n)
    })
    const { stats } = await rig.db.getPersistentSubscriptionToAllInfo(group)
    expect(stats.lastKnownEventPosition).toEqual(last)
    await subscription.unsubscribe()
    await rig.db.deletePersistentSubscriptionToAll(group)
  })

  test('writes its checkpoint at events that its filter leaves out: above the last that it knows', async () => {
    const [stream, group] = [unique('orders'), unique('group')]
    const { position: startFrom } = await rig.db.appendToStream(unique('marker'), numbered(1))
    if (startFrom === undefined) throw new Error('no position')
    const filter = client.streamNameFilter({ prefixes: [stream] })
    const changes = { startFrom, checkPointLowerBound: 1, checkPointUpperBound: 1 }
    await rig.db.createPersistentSubscriptionToAll(group, toAll(changes), { filter })
    const { position: known } = await rig.db.appendToStream(stream, numbered(1))
    const subscription = rig.db.subscribeToPersistentSubscriptionToAll(group)
    const heard = listen(subscription)
    await until(() => heard.events.length === 1)
    await subscription.ack(heard.events[0] as never)
    const { position: last } = await rig.db.appendToStream(unique('other'), numbered(5))
    await until(async () => {
      const { stats } = await rig.db.getPersistentSubscriptionToAllInfo(group)
      return (stats.lastCheckpointedEventPosition?.commit ?? 0n) >= (last?.commit ?? 0n)
    })
    const { stats } = await rig.db.getPersistentSubscriptionToAllInfo(group)
    expect(stats.lastKnownEventPosition).toEqual(known)
    await subscription.unsubscribe()
    await rig.db.deletePersistentSubscriptionToAll(group)
  })
})
