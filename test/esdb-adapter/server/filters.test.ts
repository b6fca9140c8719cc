import { describe, expect, test } from 'vitest'
import { client } from '../client.ts'
import { steered } from '../server-in-use.ts'
import { listen, numbered, unique, until, useServer } from './rig.ts'

const rig = useServer()

/** Where the log stands now, to leave out what other tests wrote. */
async function here() {
  const { position } = await rig.db.appendToStream(unique('marker'), numbered(1, 'Marker'))
  if (position === undefined) throw new Error('no position')
  return position
}

// Streams.Read.cs, EventFilter.cs
describe('a filter', () => {
  test.each([
    [
      'stream name prefixes',
      (tag: string) => client.streamNameFilter({ prefixes: [`one-${tag}`, `two-${tag}`] }),
    ],
    ['a stream name regex', (tag: string) => client.streamNameFilter({ regex: `^(one|two)-${tag}$` })],
    ['event type prefixes', (tag: string) => client.eventTypeFilter({ prefixes: [`1${tag}`, `2${tag}`] })],
    ['an event type regex', (tag: string) => client.eventTypeFilter({ regex: `^[12]${tag}$` })],
  ])('on %s leaves out the others, caught up and live', async (_, filterFor) => {
    const tag = unique('')
    const fromPosition = await here()
    const write = async () => {
      await rig.db.appendToStream(`one-${tag}`, numbered(1, `1${tag}`))
      await rig.db.appendToStream(`three-${tag}`, numbered(1, `3${tag}`))
      await rig.db.appendToStream(`two-${tag}`, numbered(1, `2${tag}`))
    }
    await write()
    const subscription = rig.db.subscribeToAll({ fromPosition, filter: filterFor(tag) })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    await write()
    await until(() => heard.events.length === 4)
    expect(heard.events.map(({ event }) => event?.streamId)).toEqual([
      `one-${tag}`,
      `two-${tag}`,
      `one-${tag}`,
      `two-${tag}`,
    ])
    await subscription.unsubscribe()
  })

  test('that excludes system events does', async () => {
    const stream = unique('orders')
    const fromPosition = await here()
    await rig.db.setStreamMetadata(stream, { maxCount: 5 })
    await rig.db.appendToStream(stream, numbered(1))
    const subscription = rig.db.subscribeToAll({ fromPosition, filter: client.excludeSystemEvents() })
    const heard = listen(subscription)
    const streams = () => heard.events.map(({ event }) => event?.streamId ?? '')
    await until(() => streams().includes(stream))
    // The metadata of the stream came before it. Others may write meanwhile.
    expect(streams().filter((name) => name.startsWith('$'))).toEqual([])
    await subscription.unsubscribe()
  })
})

// Enumerator.AllSubscriptionFiltered.cs, SubscriptionsService.ProcessEventCommitted
describe('the checkpoints of a filter', () => {
  interface Position {
    readonly commit: bigint
    readonly prepare: bigint
  }
  const filterFor = (
    prefix: string,
    checkpoints: Position[],
    maxSearchWindow: number,
    checkpointInterval = 1,
  ) =>
    client.streamNameFilter({
      prefixes: [prefix],
      maxSearchWindow,
      checkpointInterval,
      checkpointReached: async (_, position) => void checkpoints.push(position),
    })

  test('come while nothing matches, and at the latest when it has caught up', async () => {
    const fromPosition = await here()
    await rig.db.appendToStream(unique('other'), numbered(95))
    const checkpoints: Position[] = []
    const subscription = rig.db.subscribeToAll({
      fromPosition,
      filter: filterFor(unique('none'), checkpoints, 10, 2),
    })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    expect(heard.events).toEqual([])
    // Every 20 looked at; of some generations the last too.
    expect(checkpoints.length).toBeGreaterThanOrEqual(4)
    expect(checkpoints.map(({ commit }) => commit)).toEqual(
      checkpoints.map(({ commit }) => commit).sort((a, b) => (a < b ? -1 : 1)),
    )
    await subscription.unsubscribe()
  })

  // Nobody else may write meanwhile.
  steered('come while it is live, by the number of all events', async () => {
    const checkpoints: Position[] = []
    const filter = filterFor(unique('none'), checkpoints, 5)
    const subscription = rig.db.subscribeToAll({ fromPosition: 'end', filter })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    const { position } = await rig.db.appendToStream(unique('other'), numbered(5))
    await until(() => checkpoints.length > 0)
    expect(checkpoints[0]).toEqual(position)
    await subscription.unsubscribe()
  })

  test('are positions to go on from: nothing is lost behind any of them', async () => {
    const wanted = unique('wanted')
    const fromPosition = await here()
    for (let i = 0; i < 4; i++) {
      await rig.db.appendToStream(unique('other'), numbered(7))
      await rig.db.appendToStream(wanted, numbered(1))
    }
    await rig.db.appendToStream(unique('other'), numbered(7))
    const checkpoints: Position[] = []
    const first = rig.db.subscribeToAll({ fromPosition, filter: filterFor(wanted, checkpoints, 3) })
    const heard = listen(first)
    const seenAt: number[] = []
    first.on('data', () => seenAt.push(checkpoints.length))
    await until(() => heard.said.includes('caughtUp'))
    await first.unsubscribe()
    expect(heard.events).toHaveLength(4)
    expect(checkpoints.length).toBeGreaterThan(4)
    for (const [index, checkpoint] of checkpoints.entries()) {
      const seen = seenAt.filter((count) => count <= index).length
      const again = rig.db.subscribeToAll({ fromPosition: checkpoint, filter: filterFor(wanted, [], 3) })
      const rest = listen(again)
      await until(() => rest.said.includes('caughtUp'))
      await again.unsubscribe()
      expect(rest.events.length, `behind checkpoint ${index}`).toBe(4 - seen)
    }
  })

  steered('stand where a page began, which is no position of an event', async () => {
    const fromPosition = await here()
    await rig.db.appendToStream(unique('other'), numbered(95))
    const checkpoints: Position[] = []
    const subscription = rig.db.subscribeToAll({
      fromPosition,
      filter: filterFor(unique('none'), checkpoints, 10),
    })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    expect(checkpoints.slice(1).every(({ prepare }) => prepare === 0n)).toBe(true)
    await subscription.unsubscribe()
  })
})
