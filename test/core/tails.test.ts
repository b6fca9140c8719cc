import type { HighWaterRequest, LoadRequest } from '@tidemark/core/adapter'
import { afterEach, expect, test } from 'vitest'
import { readsAfter } from '../../packages/core/src/projection/reads-after.ts'
import { PageReader } from '../../packages/core/src/reading/own-pages.ts'
import { altered, type Event, gate, reading, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

/** A daemon over a source, and what that was asked. */
function asked() {
  const { clock, events, daemon } = rig()
  const polls: HighWaterRequest<bigint>[] = []
  const loads: LoadRequest<bigint>[] = []
  const source = altered(events, {
    readHighWater: async (request) => {
      polls.push(request)
      return await events.readHighWater(request)
    },
    load: async (request) => {
      loads.push(request)
      return await events.load(request)
    },
  })
  return { clock, events, daemon, source, polls, loads }
}

test('each poll is told from where every projection reads on, and which types it wants', async () => {
  const { clock, events, daemon, source, polls, loads } = asked()
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
  expect(polls.findLast(({ tails }) => tails !== undefined)?.tails).toEqual([
    { after: expect.any(BigInt), eventTypes: undefined },
    { after: expect.any(BigInt), eventTypes: ['odd'] },
  ])
  expect(loads.map(({ after, eventTypes, mayComeAlong }) => ({ after, eventTypes, mayComeAlong }))).toEqual(
    [undefined, ['odd']].map((eventTypes) => ({ after: 1n, eventTypes, mayComeAlong: true })),
  )
  expect(all.seen).toEqual([1n, 2n])
  expect(odd.seen).toEqual([1n])
})

test('each poll is told the slots of each shard by a column; a shard that compares keys itself wants every event', async () => {
  const { clock, events, daemon, source, polls, loads } = asked()
  const byColumn = recording('by column', { shards: 2, shardBy: 'stream' })
  const byFunction = recording('by function', { shards: 2, keyOf: ({ type }) => type })
  const running = daemon([byColumn, byFunction], { source: altered(source, { filtersBySlot: true }) })
  await running.start()
  events.append('any', undefined)
  await clock.run(running.waitUntilProjected())
  loads.length = 0
  polls.length = 0
  events.append('any', undefined)
  await clock.run(running.waitUntilProjected())
  const halves = [
    { column: 'stream', from: 0, to: 511 },
    { column: 'stream', from: 512, to: 1_023 },
  ]
  const wanted = [...halves, undefined, undefined]
  expect(polls.findLast(({ tails }) => tails !== undefined)?.tails).toEqual(
    wanted.map((slots) => ({ after: expect.any(BigInt), eventTypes: undefined, slots })),
  )
  expect(loads.map(({ slots, mayComeAlong }) => ({ slots, mayComeAlong }))).toEqual(
    wanted.map((slots) => ({ slots, mayComeAlong: true })),
  )
})

test('a projection that handles a batch while a poll begins reads on from before that batch', async () => {
  const { clock, events, daemon, source, polls } = asked()
  const { promise, open } = gate()
  const slow = recording('slow', {
    handle: async (page: readonly Event[]) => {
      if (page.some(({ position }) => position === 2n)) await promise
    },
  })
  const running = daemon([slow], { source })
  await running.start()
  events.append('any', undefined)
  await clock.run(running.waitUntilProjected())
  events.append('any', undefined)
  await clock.advance(2_000)
  polls.length = 0
  events.append('any', undefined)
  await clock.advance(2_000)
  expect(polls.length).toBeGreaterThan(0)
  for (const { tails } of polls) expect(tails).toEqual([{ after: 1n, eventTypes: undefined }])
  open()
  await clock.run(running.waitUntilProjected())
})

test('a batch that failed is read anew: what has come along may be what was mended meanwhile', async () => {
  const { clock, events, daemon, source, loads } = asked()
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
  expect(loads.map(({ after, mayComeAlong }) => ({ after, mayComeAlong }))).toEqual([
    { after: 1n, mayComeAlong: true },
    { after: 1n, mayComeAlong: false },
  ])
})

test('a page may come along the first time that it is asked for, and not where the reader went back', async () => {
  const loads: LoadRequest<bigint>[] = []
  const source = altered(rig().events, {
    load: async (request) => {
      loads.push(request)
      return { events: [], positions: [], through: request.upTo }
    },
  })
  const reader = new PageReader(source, { eventTypes: undefined }, new AbortController().signal)
  const now = reading({ mark: 9n })
  for (const after of [undefined, 3n, 3n, 5n, 4n, 5n, 6n])
    await reader.next({ after, reading: now, limit: 10 })
  reader.prefetch({ after: 7n, reading: now, limit: 10 })
  await reader.next({ after: 7n, reading: now, limit: 10 })
  await reader.next({ after: 7n, reading: now, limit: 10 })
  expect(loads.map(({ after, mayComeAlong }) => [after, mayComeAlong])).toEqual([
    [undefined, false],
    [3n, true],
    [3n, false],
    [5n, true],
    [4n, false],
    [5n, false],
    [6n, true],
    [7n, true],
    [7n, false],
  ])
})

test('who does not read, or not in this incarnation, reads on from nowhere', () => {
  const rest = { phase: 'following', cursor: 5n, cursorIncarnation: 'first' } as const
  const at = reading({ mark: 7n })
  for (const phase of ['following', 'loading', 'applying'] as const)
    expect(readsAfter({ ...rest, phase }, at)).toBe(5n)
  for (const phase of [
    'unowned',
    'opening',
    'paused',
    'resting',
    'mending',
    'fulfilling',
    'stopped',
  ] as const)
    expect(readsAfter({ ...rest, phase }, at)).toBeUndefined()
  expect(readsAfter({ ...rest, cursorIncarnation: 'second' }, at)).toBeUndefined()
  expect(readsAfter({ ...rest, cursor: undefined }, at)).toBeUndefined()
  expect(readsAfter(rest, undefined)).toBeUndefined()
})
