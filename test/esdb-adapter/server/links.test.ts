import { describe, expect, test } from 'vitest'
import { client } from '../client.ts'
import { all, listen, numbered, unique, until, useServer } from './rig.ts'

const rig = useServer()

/** Links as projections write them. */
const link = (revision: bigint, stream: string) =>
  client.binaryEvent({ type: '$>', data: Buffer.from(`${revision}@${stream}`) })

// ResolvedEvent.cs, StorageReaderWorker.ResolveLinkToEvent
describe('links', () => {
  test('resolved give the event, with the link beside it', async () => {
    const [stream, links] = [unique('orders'), unique('links')]
    await rig.db.appendToStream(stream, numbered(3))
    const { position } = await rig.db.appendToStream(links, link(2n, stream))
    if (position === undefined) throw new Error('no position')
    const [resolved] = await all(rig.db.readStream(links, { resolveLinkTos: true }))
    expect(resolved?.event).toMatchObject({ streamId: stream, revision: 2n, data: { number: 2 } })
    expect(resolved?.link).toMatchObject({ streamId: links, revision: 0n, type: '$>' })
    const [inAll] = await all(rig.db.readAll({ fromPosition: position, maxCount: 1, resolveLinkTos: true }))
    expect(inAll?.commitPosition).toBe(inAll?.link?.position?.commit)
    expect(inAll?.event?.position?.commit).toBeLessThan(inAll?.link?.position?.commit ?? 0n)
  })

  test('not resolved are events of their own', async () => {
    const [stream, links] = [unique('orders'), unique('links')]
    await rig.db.appendToStream(stream, numbered(1))
    await rig.db.appendToStream(links, link(0n, stream))
    const [plain] = await all(rig.db.readStream(links))
    expect(plain?.event).toMatchObject({ streamId: links, type: '$>' })
    expect(plain?.link).toBeUndefined()
  })

  test('whose target is truncated, deleted or never was come without an event', async () => {
    const [stream, deleted, links] = [unique('orders'), unique('orders'), unique('links')]
    await rig.db.appendToStream(stream, numbered(3))
    await rig.db.appendToStream(deleted, numbered(1))
    await rig.db.appendToStream(links, [
      link(0n, stream),
      link(2n, stream),
      link(9n, stream),
      link(0n, deleted),
    ])
    await rig.db.setStreamMetadata(stream, { truncateBefore: 1 })
    await rig.db.tombstoneStream(deleted)
    const read = await all(rig.db.readStream(links, { resolveLinkTos: true }))
    expect(read.map(({ event }) => event?.revision)).toEqual([undefined, 2n, undefined, undefined])
    expect(read.map((resolved) => resolved.link?.revision)).toEqual([0n, 1n, 2n, 3n])
  })

  test('without target reach subscriptions too', async () => {
    const links = unique('links')
    const subscription = rig.db.subscribeToStream(links, { resolveLinkTos: true })
    const heard = listen(subscription)
    await until(() => heard.said.includes('confirmation'))
    await rig.server.writeLink(links, 'nowhere', 4n)
    await until(() => heard.events.length === 1)
    expect(heard.events[0]?.event).toBeUndefined()
    expect(heard.events[0]?.link).toMatchObject({ streamId: links, revision: 0n })
    await subscription.unsubscribe()
  })
})
