import { describe, expect, test } from 'vitest'
import { expecting } from '../client.ts'
import { describeSteered } from '../server-in-use.ts'
import { all, conflict, failure, listen, numbered, revisions, unique, until, useServer } from './rig.ts'

const rig = useServer()

const inAll = async (stream: string): Promise<(bigint | undefined)[]> => {
  const events = await all(rig.db.readAll())
  return revisions(events.filter(({ event }) => event?.streamId === stream))
}

// IndexReader.ReadStreamEventsForwardInternal
describe('stream metadata', () => {
  test.each([
    ['maxCount', { maxCount: 2 }],
    ['truncateBefore', { truncateBefore: 3 }],
  ] as const)('%s hides the older events of the stream', async (_, metadata) => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(5))
    await rig.db.setStreamMetadata(stream, metadata)
    expect(revisions(await all(rig.db.readStream(stream)))).toEqual([3n, 4n])
    expect(revisions(await all(rig.db.readStream(stream, { fromRevision: 1n, maxCount: 1 })))).toEqual([3n])
    const backwards = await all(rig.db.readStream(stream, { direction: 'backwards', fromRevision: 'end' }))
    expect(revisions(backwards)).toEqual([4n, 3n])
    expect((await rig.db.getStreamMetadata(stream)).metadata).toEqual(metadata)
  })

  test('is what a subscription jumps over', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(5))
    await rig.db.setStreamMetadata(stream, { truncateBefore: 3 })
    const subscription = rig.db.subscribeToStream(stream, { fromRevision: 0n })
    const heard = listen(subscription)
    await until(() => heard.said.includes('caughtUp'))
    expect(revisions(heard.events)).toEqual([3n, 4n])
    await subscription.unsubscribe()
  })
})

describeSteered('what was removed', () => {
  test('by age is not read from the stream, and still from $all', async () => {
    const stream = unique('orders')
    const hourMs = 3_600_000
    const created = [3, 2, 0].map((hours) => Date.now() - hours * hourMs)
    await rig.server.write(
      stream,
      created.map((createdMs) => ({ type: 'Aged', createdMs })),
    )
    await rig.db.setStreamMetadata(stream, { maxAge: 3600 })
    expect(revisions(await all(rig.db.readStream(stream)))).toEqual([2n])
    expect(await inAll(stream)).toEqual([0n, 1n, 2n])
  })

  test('by a scavenge is read from nowhere', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(4))
    await rig.server.scavenge(stream, 1n, 2n)
    expect(revisions(await all(rig.db.readStream(stream)))).toEqual([0n, 3n])
    expect(await inAll(stream)).toEqual([0n, 3n])
  })

  test('between two events is a jump of their revisions', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(2))
    await rig.server.skipRevisions(stream, 2n ** 60n)
    await rig.db.appendToStream(stream, numbered(1))
    expect(revisions(await all(rig.db.readStream(stream)))).toEqual([0n, 1n, 2n ** 60n + 2n])
  })
})

// StorageWriterService.cs, WriteDelete and SoftUndeleteStream
describe('a deleted stream', () => {
  test('is not found, and goes on behind its last revision when it is written to', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(3))
    const { position } = await rig.db.deleteStream(stream, { expectedRevision: 2n })
    expect(position?.commit).toBeGreaterThan(0n)
    expect(await failure(rig.db.readStream(stream))).toMatchObject({ type: 'stream-not-found' })
    await rig.db.appendToStream(stream, numbered(1), expecting('no_stream'))
    expect(revisions(await all(rig.db.readStream(stream)))).toEqual([3n])
  })

  test('must be where the client expects it', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(3))
    await expect(rig.db.deleteStream(stream, { expectedRevision: 7n })).rejects.toMatchObject(
      conflict(stream, 7n, 2n),
    )
  })

  test('with a tombstone is an error for readers, writers and subscribers', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(1))
    await rig.db.tombstoneStream(stream)
    const expected = { type: 'stream-deleted', streamName: stream }
    expect(await failure(rig.db.readStream(stream))).toMatchObject(expected)
    await expect(rig.db.appendToStream(stream, numbered(1))).rejects.toMatchObject(expected)
    const heard = listen(rig.db.subscribeToStream(stream))
    await until(() => heard.said.length > 0)
    expect(heard.said).toEqual(['error stream-deleted'])
  })

  test('with a tombstone ends live subscriptions, behind an event of the greatest revision', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(1))
    const heard = listen(rig.db.subscribeToStream(stream))
    await until(() => heard.said.includes('caughtUp'))
    await rig.db.tombstoneStream(stream)
    await until(() => heard.said.includes('error stream-deleted'))
    expect(heard.events.at(-1)?.event).toMatchObject({ type: '$streamDeleted', revision: 2n ** 63n - 1n })
  })
})
