import { describe, expect, test } from 'vitest'
import { clientName } from '../client.ts'
import { describeSteered, steered } from '../server-in-use.ts'
import { all, failure, numbered, revisions, unique, useServer } from './rig.ts'

// Beyond what a double holds: nothing on the way may be a number.
const BASE = 2n ** 60n
const rig = useServer({ basePosition: BASE })

// Enumerator.ReadStreamForwards.cs, Enumerator.ReadStreamBackwards.cs
describe('reading a stream', () => {
  test('forwards from its start, from a revision, and no more than asked for', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(100))
    expect(revisions(await all(rig.db.readStream(stream)))).toEqual(
      Array.from({ length: 100 }, (_, i) => BigInt(i)),
    )
    expect(revisions(await all(rig.db.readStream(stream, { fromRevision: 97n })))).toEqual([97n, 98n, 99n])
    expect(revisions(await all(rig.db.readStream(stream, { fromRevision: 5n, maxCount: 2 })))).toEqual([
      5n,
      6n,
    ])
    expect(await all(rig.db.readStream(stream, { fromRevision: 100n }))).toEqual([])
  })

  test('backwards from its end, and from a revision', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(5))
    const backwards = { direction: 'backwards' } as const
    const last = await all(rig.db.readStream(stream, { ...backwards, fromRevision: 'end', maxCount: 2 }))
    expect(revisions(last)).toEqual([4n, 3n])
    const from = await all(rig.db.readStream(stream, { ...backwards, fromRevision: 1n }))
    expect(revisions(from)).toEqual([1n, 0n])
  })

  test('that does not exist is an error that names it', async () => {
    const nowhere = unique('nowhere')
    expect(await failure(rig.db.readStream(nowhere))).toMatchObject({
      type: 'stream-not-found',
      streamName: nowhere,
    })
  })

  test('gives each event its position in the log', async () => {
    const stream = unique('orders')
    const { position } = await rig.db.appendToStream(stream, numbered(1))
    const [event] = await all(rig.db.readStream(stream))
    expect(event?.event?.position).toEqual(position)
    expect(event?.commitPosition).toBe(position?.commit)
  })
})

// Enumerator.ReadAllForwards.cs, Enumerator.ReadAllBackwards.cs, AllReader.cs
describe('reading $all', () => {
  test('forwards includes the event at the position, backwards does not', async () => {
    const stream = unique('orders')
    const { position: first } = await rig.db.appendToStream(stream, numbered(1))
    const { position: second } = await rig.db.appendToStream(stream, numbered(1))
    if (first === undefined || second === undefined) throw new Error('no position')
    const forwards = await all(rig.db.readAll({ fromPosition: first, maxCount: 1 }))
    expect(forwards[0]?.event).toMatchObject({ streamId: stream, revision: 0n, position: first })
    // Somebody else may have written between the two.
    const since = await all(rig.db.readAll({ fromPosition: first, maxCount: 100 }))
    const at = since.findIndex(({ event }) => event?.streamId === stream && event.revision === 1n)
    const backwards = await all(rig.db.readAll({ direction: 'backwards', fromPosition: second, maxCount: 1 }))
    expect(at).toBeGreaterThan(0)
    expect(backwards[0]?.commitPosition).toBe(since[at - 1]?.commitPosition)
    expect(backwards[0]?.event?.id).toBe(since[at - 1]?.event?.id)
  })

  steered('backwards from the end begins with the newest event', async () => {
    const stream = unique('orders')
    await rig.db.appendToStream(stream, numbered(1))
    const [newest] = await all(rig.db.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }))
    expect(newest?.event?.streamId).toBe(stream)
  })

  test('from its start shows system events too', async () => {
    const [first] = await all(rig.db.readAll({ fromPosition: 'start', maxCount: 1 }))
    expect(first?.event?.type).toMatch(/^\$/)
  })

  test('positions grow, and not by one', async () => {
    const { position: first } = await rig.db.appendToStream(unique('orders'), numbered(1))
    const { position: second } = await rig.db.appendToStream(unique('orders'), numbered(1))
    expect((second?.commit ?? 0n) - (first?.commit ?? 0n)).toBeGreaterThan(50n)
  })

  test.runIf(clientName === 'kurrentdb')(
    'with a filter leaves out the others (newer client only)',
    async () => {
      const stream = unique('filtered')
      const { position } = await rig.db.appendToStream(stream, numbered(3, 'Wanted'))
      await rig.db.appendToStream(unique('other'), numbered(3, 'Unwanted'))
      if (position === undefined) throw new Error('no position')
      const filter = { filterOn: 'streamName', prefixes: [stream], checkpointInterval: 1 }
      const read = rig.db.readAll({
        direction: 'backwards',
        fromPosition: 'end',
        maxCount: 3,
        filter,
      } as never)
      expect(revisions(await all(read))).toEqual([2n, 1n, 0n])
    },
  )

  test('from where no event begins is an error', async () => {
    const { position } = await rig.db.appendToStream(unique('orders'), numbered(2))
    if (position === undefined) throw new Error('no position')
    const middle = { commit: position.commit - 1n, prepare: position.prepare - 1n }
    // The newer client's native reader takes whatever is unknown for unavailable.
    expect(await failure(rig.db.readAll({ fromPosition: middle, maxCount: 1 }))).toMatchObject({
      type: clientName === 'eventstore' ? 'unknown' : 'unavailable',
    })
  })
})

describeSteered('positions', () => {
  test('beyond 2^53 are exact', async () => {
    const { position } = await rig.db.appendToStream(unique('orders'), numbered(1))
    expect(position?.commit).toBeGreaterThan(BASE)
    const [event] = await all(rig.db.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }))
    expect(event?.event?.position).toEqual(position)
  })

  test('of an explicit transaction share their commit, and only $all knows it', async () => {
    const stream = unique('transaction')
    await rig.server.write(stream, [{ type: 'A' }, { type: 'B' }], { transaction: true })
    const inAll = await all(rig.db.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 2 }))
    const [second, first] = inAll.map(({ event }) => event?.position)
    expect(second?.commit).toBe(first?.commit)
    expect(second?.prepare).toBeGreaterThan(first?.prepare ?? 0n)
    expect(second?.commit).toBeGreaterThan(second?.prepare ?? 0n)
    const [inStream] = await all(rig.db.readStream(stream))
    expect(inStream?.event?.position).toEqual({ commit: 2n ** 64n - 1n, prepare: 2n ** 64n - 1n })
    expect(inStream?.commitPosition).toBeUndefined()
    // Backwards from one of its events none of them is read, forwards that one and those behind it.
    if (second === undefined) throw new Error('no position')
    const [before] = await all(rig.db.readAll({ direction: 'backwards', fromPosition: second, maxCount: 1 }))
    expect(before?.event?.streamId).not.toBe(stream)
    const from = await all(rig.db.readAll({ fromPosition: second }))
    expect(from.map(({ event }) => event?.type)).toEqual(['B'])
  })

  test('leave room for records that nobody sees', async () => {
    await rig.server.skipBytes(10_000n)
    const before = await rig.db.appendToStream(unique('orders'), numbered(1))
    await rig.server.skipBytes(10_000n)
    const after = await rig.db.appendToStream(unique('orders'), numbered(1))
    expect((after.position?.commit ?? 0n) - (before.position?.commit ?? 0n)).toBeGreaterThan(10_000n)
  })
})
