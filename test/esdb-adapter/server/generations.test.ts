import type { Position } from '@eventstore/db-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GENERATIONS, type GenerationName } from '../../support/esdb-server/generations.ts'
import { type EsdbServer, startEsdbServer } from '../../support/esdb-server/server.ts'
import { type Client, client, clientName, connect } from '../client.ts'
import { describeSteered } from '../server-in-use.ts'
import { all, type Heard, listen, numbered, revisions, unique, until } from './rig.ts'

const NO_POSITION = 2n ** 64n - 1n

const written = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ type: 'Numbered', data: { n } }))

// What real servers of each were seen to do.
describeSteered.each(Object.keys(GENERATIONS) as GenerationName[])('a server of %s', (name) => {
  let server: EsdbServer
  let db: Client
  beforeAll(async () => {
    server = await startEsdbServer({ generation: name })
    db = connect(server)
  })
  afterAll(async () => {
    await db.dispose()
    await server.stop()
  })
  const isOld = name === '23.10'

  const here = async (): Promise<Position> => {
    const { position } = await db.appendToStream(unique('marker'), numbered(1))
    if (position === undefined) throw new Error('no position')
    return position
  }
  const beyond = async (): Promise<Position> => {
    const { commit } = await here()
    return { commit: commit + 2_000n, prepare: commit + 2_000n }
  }
  const isCaughtUp = (heard: Heard) => heard.said.includes('caughtUp')

  test.each([
    ['was never written', async () => {}],
    [
      'was deleted',
      async (stream: string) => {
        await db.appendToStream(stream, numbered(2))
        await db.deleteStream(stream)
      },
    ],
    [
      'has lost all of its events',
      async (stream: string) => {
        await db.appendToStream(stream, numbered(2))
        await db.setStreamMetadata(stream, { truncateBefore: 2 })
      },
    ],
  ])(
    `a subscription to a stream that ${isOld ? 'is silent until there is an event' : 'has caught up at once'}: it %s`,
    async (_, prepare) => {
      const stream = unique('orders')
      await prepare(stream)
      const subscription = db.subscribeToStream(stream)
      const heard = listen(subscription)
      await until(() => heard.said.includes('confirmation'))
      if (!isOld) await until(() => isCaughtUp(heard))
      await db.appendToStream(stream, numbered(1))
      await until(() => heard.events.length === 1 && isCaughtUp(heard))
      const revision = heard.events[0]?.event?.revision
      const arrived = [`event ${revision}`]
      expect(heard.said).toEqual([
        'confirmation',
        ...(isOld ? [...arrived, 'caughtUp'] : ['caughtUp', ...arrived]),
      ])
      await subscription.unsubscribe()
    },
  )

  test(`from beyond the end, ${isOld ? '$all hands out what is appended below' : 'what is appended below is left out'}`, async () => {
    const stream = unique('orders')
    const from = await beyond()
    const filter = client.streamNameFilter({ prefixes: [stream] })
    const ofAll = db.subscribeToAll({ fromPosition: from })
    const filtered = db.subscribeToAll({ fromPosition: from, filter })
    const ofStream = db.subscribeToStream(stream, { fromRevision: 2n })
    const heard = [ofAll, filtered, ofStream].map(listen) as [Heard, Heard, Heard]
    await until(() => isCaughtUp(heard[0]) && isCaughtUp(heard[1]))
    for (let i = 0; i < 40; i++) await server.write(stream, written(1))
    await until(() => heard.every(({ events }) => events.at(-1)?.event?.revision === 39n))
    const firsts = heard.map(({ events }) => events[0]?.event?.revision)
    expect(firsts[2]).toBe(3n)
    if (isOld) expect(firsts.slice(0, 2)).toEqual([0n, 0n])
    else
      for (const { events } of heard.slice(0, 2))
        expect(events[0]?.commitPosition).toBeGreaterThan(from.commit)
    await Promise.all([ofAll, filtered, ofStream].map((subscription) => subscription.unsubscribe()))
  })

  test(`from a position that was scavenged, a subscription to $all ${isOld ? 'leaves out the next event too' : 'begins with the next event'}`, async () => {
    const stream = unique('orders')
    const { position: from } = await db.appendToStream(stream, numbered(1))
    if (from === undefined) throw new Error('no position')
    await db.appendToStream(stream, numbered(3))
    await server.scavenge(stream, 0n, 0n)
    const read = await all(db.readAll({ fromPosition: from }))
    expect(revisions(read)).toEqual([1n, 2n, 3n])
    const subscription = db.subscribeToAll({ fromPosition: from })
    const heard = listen(subscription)
    await until(() => isCaughtUp(heard))
    expect(revisions(heard.events)).toEqual(isOld ? [2n, 3n] : [1n, 2n, 3n])
    await subscription.unsubscribe()
  })

  test(`events that come too fast ${isOld ? 'end the call' : 'are read from the log'}`, async () => {
    const stream = unique('orders')
    const subscriptions = [
      db.subscribeToStream(stream, { fromRevision: 'end' }),
      db.subscribeToAll({ fromPosition: 'end' }),
    ]
    const errors: unknown[] = []
    const heard = subscriptions.map(listen)
    for (const each of subscriptions) each.on('error', (error: Error) => errors.push(error.message))
    await until(() => heard.every(isCaughtUp))
    await server.stall({ kind: 'subscription' })
    await server.write(stream, written(200))
    await server.resume()
    if (isOld) {
      await until(() => errors.length === 2)
      const text =
        /ABORTED: Operation timed out: Consumer too slow to handle event while live\. Client resubscription required\.$/
      for (const error of errors) expect(error).toMatch(text)
    } else {
      await until(() => heard.every(({ events }) => events.length >= 200))
      for (const { events } of heard) {
        expect(revisions(events.filter(({ event }) => event?.streamId === stream))).toHaveLength(200)
      }
    }
    await Promise.all(subscriptions.map((subscription) => subscription.unsubscribe()))
  })

  test(`so do those that are appended while it ${isOld ? 'goes live: the text is another one' : 'catches up'}`, async () => {
    const stream = unique('orders')
    await server.write(stream, written(40))
    await server.stall({ kind: 'subscription', stream })
    const subscription = db.subscribeToStream(stream)
    const errors: string[] = []
    const heard = listen(subscription)
    subscription.on('error', ({ message }: Error) => errors.push(message))
    await until(async () => (await server.counters()).open.subscription === 1)
    await server.write(stream, written(100))
    await server.resume()
    await until(() => errors.length + Number(heard.events.length === 140) === 1)
    if (isOld) expect(errors[0]).toMatch(/too slow to handle event while transitioning to live\. Client res/)
    else expect(revisions(heard.events)).toEqual(Array.from({ length: 140 }, (_, i) => BigInt(i)))
    await subscription.unsubscribe()
  })

  test.runIf(clientName === 'kurrentdb')(
    `caughtUp ${GENERATIONS[name].saysWhen ? 'says when and where' : 'says neither when nor where'} (newer client only)`,
    async () => {
      const stream = unique('orders')
      await db.appendToStream(stream, numbered(2))
      const subscription = db.subscribeToStream(stream)
      const heard = listen(subscription)
      await until(() => isCaughtUp(heard))
      const [info] = heard.caughtUp as [Record<string, unknown>]
      expect(info?.revision).toBe(GENERATIONS[name].saysWhen ? 1n : undefined)
      await subscription.unsubscribe()
    },
  )

  describe("a filter's checkpoints", () => {
    const filtered = (fromPosition: Position | 'start', prefix: string, window: number, interval: number) => {
      const checkpoints: Position[] = []
      const filter = client.streamNameFilter({
        prefixes: [prefix],
        maxSearchWindow: window,
        checkpointInterval: interval,
        checkpointReached: async (_, position) => void checkpoints.push(position),
      })
      const subscription = db.subscribeToAll({ fromPosition, filter })
      return { checkpoints, subscription, heard: listen(subscription) }
    }

    test(`when it has caught up: ${isOld ? 'none' : 'the position that was given'}, without a match`, async () => {
      const from = await here()
      await server.write('other', written(1))
      const { checkpoints, heard, subscription } = filtered(from, unique('none'), 1_000, 1)
      await until(() => isCaughtUp(heard))
      expect(checkpoints).toEqual(isOld ? [] : [from])
      await subscription.unsubscribe()
    })

    test('from the start, without a match', async () => {
      const { checkpoints, heard, subscription } = filtered('start', unique('none'), 100_000, 1)
      await until(() => isCaughtUp(heard))
      const commits = checkpoints.map(({ commit }) => commit)
      expect(commits).toEqual(name === '23.10' ? [] : [name === '24.2' ? NO_POSITION : 0n])
      await server.write('other', written(1))
      await subscription.unsubscribe()
    })

    test('of 95 events that do not match, an interval of 2 and a window of 10', async () => {
      const from = await here()
      await server.write(unique('other'), written(95))
      const { checkpoints, heard, subscription } = filtered(from, unique('none'), 10, 2)
      await until(() => isCaughtUp(heard))
      expect(checkpoints).toHaveLength(name.startsWith('25') ? 5 : 4)
      expect(checkpoints.every(({ prepare }) => prepare === 0n)).toBe(true)
      await subscription.unsubscribe()
    })

    test('are positions to go on from: nothing is lost behind any of them', async () => {
      const wanted = unique('wanted')
      const from = await here()
      for (let i = 0; i < 4; i++) {
        await server.write(unique('other'), written(7))
        await server.write(wanted, written(1))
      }
      const { checkpoints, heard, subscription } = filtered(from, wanted, 3, 1)
      const seenAt: number[] = []
      subscription.on('data', () => seenAt.push(checkpoints.length))
      await until(() => isCaughtUp(heard) && heard.events.length === 4)
      // Live ones too.
      await server.write(unique('other'), written(7))
      await until(() => checkpoints.length > 6)
      await subscription.unsubscribe()
      for (const [index, checkpoint] of checkpoints.entries()) {
        const seen = seenAt.filter((count) => count <= index).length
        const again = filtered(checkpoint, wanted, 3, 1)
        await until(() => isCaughtUp(again.heard))
        await again.subscription.unsubscribe()
        expect(again.heard.events.length, `behind checkpoint ${index}`).toBe(4 - seen)
      }
    })

    test('may stand where no record stands yet: what is appended there is handed out all the same', async () => {
      const wanted = unique('wanted')
      const from = await here()
      // As many as fill whole pages, with the one at `from`.
      await server.write(unique('other'), written(19))
      const { checkpoints, heard, subscription } = filtered(from, wanted, 10, 1)
      await until(() => isCaughtUp(heard))
      await subscription.unsubscribe()
      const last = checkpoints.at(-1) ?? from
      await server.write(wanted, written(1))
      const again = filtered(last, wanted, 10, 1)
      await until(() => again.heard.events.length === 1)
      const { commitPosition } = again.heard.events[0] ?? {}
      if (name === '25.0') expect(last).toEqual({ commit: commitPosition, prepare: 0n })
      else expect(last.commit).toBeLessThan(commitPosition ?? 0n)
      await again.subscription.unsubscribe()
    })
  })
})
