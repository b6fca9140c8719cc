import { denseOrder, type HighWaterRequest, type LoadRequest, type TailWish } from '@tidemark/core/adapter'
import { afterEach, expect, test } from 'vitest'
import { waitsAt } from '../../packages/core/src/projection/waits-at.ts'
import { PageReader } from '../../packages/core/src/reading/own-pages.ts'
import { altered, type Event, gate, reading, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const typesOf = (wishes: readonly TailWish<bigint>[] | undefined) =>
  wishes?.map(({ after, eventTypes }) => ({ after, eventTypes }))

/** A daemon over a source that brings along whatever is wished for, and what it was asked. */
function bringing() {
  const { clock, events, daemon } = rig()
  const polls: HighWaterRequest<bigint>[] = []
  const loads: LoadRequest<bigint>[] = []
  const brought = new Map<unknown, TailWish<bigint>>()
  const source = altered(events, {
    readHighWater: async (request) => {
      polls.push(request)
      const answer = await events.readHighWater(request)
      if (request.tails === undefined) return answer
      const tails = new Map(request.tails.map((wish) => [wish, { of: wish }]))
      for (const [wish, tail] of tails) brought.set(tail, wish)
      return { ...answer, tails }
    },
    load: async (request) => {
      loads.push(request)
      return await events.load(request)
    },
  })
  return { clock, events, daemon, source, polls, loads, brought }
}

test('a projection that has handled everything wishes for what follows, and is given with its page what the poll has brought', async () => {
  const { clock, events, daemon, source, polls, loads, brought } = bringing()
  const all = recording('all')
  const odd = recording('odd', { eventTypes: ['odd'] })
  const running = daemon([all, odd], { source })
  await running.start()
  events.append('odd', undefined)
  await clock.run(running.waitUntilProjected())
  loads.length = 0
  polls.length = 0
  events.append('even', undefined)
  await clock.run(running.waitUntilProjected())
  expect(typesOf(polls.findLast(({ tails }) => tails !== undefined)?.tails)).toEqual([
    { after: expect.any(BigInt), eventTypes: undefined },
    { after: expect.any(BigInt), eventTypes: ['odd'] },
  ])
  expect(
    loads.map(({ after, eventTypes, tail }) => ({ after, eventTypes, wish: brought.get(tail) })),
  ).toEqual(
    [undefined, ['odd']].map((eventTypes) => ({
      after: 1n,
      eventTypes,
      wish: expect.objectContaining({ after: 1n, eventTypes }),
    })),
  )
  expect(all.seen).toEqual([1n, 2n])
  expect(odd.seen).toEqual([1n])
})

test('a projection that handles a batch while a poll begins wishes for nothing', async () => {
  const { clock, events, daemon, source, polls } = bringing()
  const { promise, open } = gate()
  const slow = recording('slow', { handle: () => promise })
  const running = daemon([slow], { source })
  await running.start()
  events.append('any', undefined)
  await clock.advance(2_000)
  polls.length = 0
  await clock.advance(2_000)
  expect(polls.length).toBeGreaterThan(0)
  expect(polls.flatMap(({ tails }) => tails ?? [])).toEqual([])
  open()
  await clock.run(running.waitUntilProjected())
})

test('a batch that failed is read anew: what a poll has brought is used once', async () => {
  const { clock, events, daemon, source, loads } = bringing()
  let failures = 0
  const once = recording('once', {
    handle: (page: readonly Event[]) => {
      if (page.some(({ position }) => position === 2n) && failures++ === 0) throw new Error('not yet')
    },
  })
  const running = daemon([once], { source })
  await running.start()
  events.append('any', undefined)
  await clock.run(running.waitUntilProjected())
  loads.length = 0
  events.append('any', undefined)
  await clock.run(running.waitUntilProjected())
  expect(loads.map(({ after, tail }) => ({ after, hasTail: tail !== undefined }))).toEqual([
    { after: 1n, hasTail: true },
    { after: 1n, hasTail: false },
  ])
})

test('a page is asked for without what was brought for another position, or for another reader', async () => {
  const loads: LoadRequest<bigint>[] = []
  const source = altered(rig().events, {
    load: async (request) => {
      loads.push(request)
      return { events: [], positions: [], through: request.upTo }
    },
  })
  const readerOf = () => new PageReader(source, { eventTypes: undefined }, new AbortController().signal)
  const [one, other] = [readerOf(), readerOf()]
  const wishes = [one.wish(4n), other.wish(4n)]
  const tails = new Map(wishes.map((wish, of) => [wish, of]))
  const now = reading({ mark: 9n, tails })
  await other.next({ after: 3n, reading: now, limit: 10 })
  await other.next({ after: 4n, reading: now, limit: 10 })
  await one.next({ after: 4n, reading: reading({ mark: 9n }), limit: 10 })
  await one.next({ after: 4n, reading: now, limit: 10 })
  expect(loads.map(({ tail }) => tail)).toEqual([undefined, 1, undefined, undefined])
})

test('only who follows the newest reading, and has all of it, waits at the mark', () => {
  const rest = { phase: 'following', cursor: 5n, cursorIncarnation: 'first' } as const
  const at = reading({ mark: 5n })
  expect(waitsAt(rest, denseOrder, at)).toBe(5n)
  expect(waitsAt({ ...rest, cursor: 4n }, denseOrder, at)).toBeUndefined()
  expect(waitsAt({ ...rest, cursorIncarnation: 'second' }, denseOrder, at)).toBeUndefined()
  expect(waitsAt({ ...rest, phase: 'applying' }, denseOrder, at)).toBeUndefined()
  expect(waitsAt({ ...rest, cursor: undefined }, denseOrder, reading())).toBeUndefined()
  expect(waitsAt(rest, denseOrder, undefined)).toBeUndefined()
})
