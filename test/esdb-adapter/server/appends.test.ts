import { describe, expect, test } from 'vitest'
import { client, expecting } from '../client.ts'
import { all, conflict, numbered, revisions, unique, useServer } from './rig.ts'

const rig = useServer()

// Streams.Append.cs, Streams.BatchAppend.cs; the clients' docs on optimistic concurrency.
describe('appending', () => {
  test('answers with the last revision and its position', async () => {
    const stream = unique('orders')
    const first = await rig.db.appendToStream(stream, numbered(3), expecting('no_stream'))
    const second = await rig.db.appendToStream(stream, numbered(1), expecting(2n))
    expect(first).toMatchObject({ success: true, nextExpectedRevision: 2n })
    expect(second).toMatchObject({ success: true, nextExpectedRevision: 3n })
    expect(second.position?.commit).toBeGreaterThan(first.position?.commit ?? 0n)
    const [last] = await all(
      rig.db.readStream(stream, { direction: 'backwards', fromRevision: 'end', maxCount: 1 }),
    )
    expect(last?.event?.position).toEqual(second.position)
  })

  test.each([
    ['no_stream', 'no_stream'],
    [7n, 7n],
  ] as const)(
    'to a stream that is elsewhere than %s is refused, and says where it is',
    async (expected, said) => {
      const stream = unique('orders')
      await rig.db.appendToStream(stream, numbered(2))
      await expect(rig.db.appendToStream(stream, numbered(1), expecting(expected))).rejects.toMatchObject(
        conflict(stream, said, 1n),
      )
      expect(await all(rig.db.readStream(stream))).toHaveLength(2)
    },
  )

  test('to a stream that must exist and does not is refused', async () => {
    const stream = unique('orders')
    await expect(
      rig.db.appendToStream(stream, numbered(1), expecting('stream_exists')),
    ).rejects.toMatchObject(conflict(stream, 'stream_exists', 'no_stream'))
  })

  test.each(['any', 'no_stream', 'stream_exists'] as const)(
    'the same events again, expecting %s, answers as before and writes nothing',
    async (expected) => {
      const stream = unique('orders')
      const events = numbered(2)
      const first = await rig.db.appendToStream(stream, events, expecting('no_stream'))
      const again = await rig.db.appendToStream(stream, events, expecting(expected))
      expect(again.nextExpectedRevision).toBe(first.nextExpectedRevision)
      expect(revisions(await all(rig.db.readStream(stream)))).toEqual([0n, 1n])
    },
  )

  test('events of which only some were written is refused', async () => {
    const stream = unique('orders')
    const events = numbered(2)
    await rig.db.appendToStream(stream, events.slice(0, 1), expecting('no_stream'))
    await expect(rig.db.appendToStream(stream, events, expecting('any'))).rejects.toMatchObject({
      type: 'wrong-expected-version',
    })
  })

  test('more than the maximum size is refused, and says which that is', async () => {
    const event = client.binaryEvent({ type: 'Large', data: Buffer.alloc(1024 * 1024 + 1) })
    await expect(rig.db.appendToStream(unique('orders'), event)).rejects.toMatchObject({
      type: 'maximum-append-size-exceeded',
      maxAppendSize: 1024 * 1024,
    })
  })

  test('keeps data, metadata, type and id', async () => {
    const stream = unique('orders')
    const json = client.jsonEvent({ type: 'Json', data: { a: [1, 'ä'] }, metadata: { $correlationId: 'c' } })
    const binary = client.binaryEvent({
      type: 'Binary',
      data: Buffer.from([0, 255]),
      metadata: Buffer.from([1]),
    })
    const before = Date.now()
    await rig.db.appendToStream(stream, [json, binary])
    const [first, second] = await all(rig.db.readStream(stream))
    expect(first?.event).toMatchObject({
      streamId: stream,
      id: json.id,
      type: 'Json',
      data: { a: [1, 'ä'] },
      metadata: { $correlationId: 'c' },
      isJson: true,
    })
    expect(second?.event).toMatchObject({ id: binary.id, type: 'Binary', isJson: false })
    expect(Buffer.from(second?.event?.data as Uint8Array)).toEqual(Buffer.from([0, 255]))
    // The newer client's native reader cuts off what is below a second.
    expect(first?.event?.created.getTime()).toBeGreaterThanOrEqual(Math.floor(before / 1000) * 1000)
  })

  test('with credentials, which goes through a call of its own, is answered the same', async () => {
    const stream = unique('orders')
    const options = { credentials: { username: 'admin', password: 'changeit' } }
    const first = await rig.db.appendToStream(stream, numbered(2), { ...options, ...expecting('no_stream') })
    expect(first).toMatchObject({ success: true, nextExpectedRevision: 1n })
    const again = rig.db.appendToStream(stream, numbered(1), { ...options, ...expecting('no_stream') })
    await expect(again).rejects.toMatchObject(conflict(stream, 'no_stream', 1n))
  })
})
