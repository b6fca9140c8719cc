import type { LoadRequest } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import {
  aimBytes,
  givenSizeAfter,
  MOST_EVENTS,
  PageSize,
  sizeAfter,
} from '../../packages/core/src/reading/page-size.ts'
import { altered, positionOf, recording, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const MIB = 2 ** 20

/** The sizes of so many pages of a replay, each event of that size and handled in that time. */
function sizes(
  pages: number,
  { bytes, ms, fixedMs = 2 }: { readonly bytes: number; readonly ms: number; readonly fixedMs?: number },
): number[] {
  const size = new PageSize(1)
  return Array.from({ length: pages }, () => {
    const { events } = size
    const page = { events, bytes: events * bytes, tookMs: fixedMs + events * ms, isFull: true }
    size.read({ ...page, events: Array.from({ length: events }) })
    size.handled(page)
    return events
  })
}

test('batches of small events that are handled fast grow up to the most', () => {
  expect(sizes(5, { bytes: 300, ms: 0.01 })).toEqual([100, 400, 1_600, MOST_EVENTS, MOST_EVENTS])
})

test('a batch whose events take a millisecond each takes some 100 ms', () => {
  for (const ms of [1, 0.2, 0.5]) {
    const events = sizes(12, { bytes: 300, ms }).at(-1) ?? 0
    expect(events * ms).toBeGreaterThanOrEqual(75)
    expect(events * ms).toBeLessThanOrEqual(125)
  }
})

test('a batch of a slow handler becomes smaller, down to one event', () => {
  expect(sizes(10, { bytes: 300, ms: 1_000 }).at(-1)).toBe(1)
})

test.each([30, 60, 90, 100, 150, 199, 210, 600])(
  'a server that is so far away that each batch takes %d ms, however small, gets large batches of fast events',
  (fixedMs) => {
    const after = sizes(40, { bytes: 300, ms: 0.01, fixedMs })
    expect(after.at(-1)).toBeGreaterThanOrEqual(3_000)
    // No longer than what it takes anyway, where that is more than the aim.
    const slow = sizes(40, { bytes: 300, ms: 1, fixedMs }).at(-1) ?? 0
    expect(slow).toBeLessThanOrEqual(Math.max(100, fixedMs))
    expect(slow).toBeGreaterThanOrEqual(10)
    expect(sizes(40, { bytes: 300, ms: 1_000, fixedMs }).at(-1)).toBe(1)
  },
)

test('a page of large events is small, and one that is too large by itself is alone', () => {
  const large = sizes(6, { bytes: 5_000, ms: 0.01 }).at(-1) ?? 0
  expect(large * 5_000).toBeLessThanOrEqual(4 * MIB)
  expect(large * 5_000).toBeGreaterThanOrEqual(MIB)
  expect(sizes(6, { bytes: 50 * MIB, ms: 1 }).at(-1)).toBe(1)
})

test('a batch that waited for something makes the next ones smaller for a while only', () => {
  const after = sizeAfter(MOST_EVENTS, { events: MOST_EVENTS, bytes: MIB, tookMs: 30_000, isFull: true })
  expect(after).toBe(MOST_EVENTS / 2)
  const next = sizeAfter(after, { events: after, bytes: MIB / 2, tookMs: 40, isFull: true })
  expect(next).toBe(MOST_EVENTS)
})

test('a page with little in it says nothing of larger ones', () => {
  expect(sizeAfter(400, { events: 1, bytes: 300, tookMs: 2, isFull: false })).toBe(400)
  expect(sizeAfter(400, { events: 1, bytes: 300, tookMs: 2, isFull: true })).toBe(400)
})

test('a size is always from 1 to the most, whatever was handled', () => {
  const page = fc.record({
    events: fc.integer({ min: 1, max: MOST_EVENTS }),
    bytes: fc.option(fc.nat(2 ** 31), { nil: undefined }),
    tookMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    isFull: fc.boolean(),
    knownMs: fc.option(fc.double({ min: 0, max: 1e9, noNaN: true }), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MOST_EVENTS }), fc.array(page), (first, pages) => {
      const last = pages.reduce((size, { knownMs, ...handled }) => sizeAfter(size, handled, knownMs), first)
      expect(Number.isInteger(last) && last >= 1 && last <= MOST_EVENTS).toBe(true)
    }),
  )
})

test('what was handled at any time leaves a size from 1 to the most', () => {
  const page = fc.record({
    bytes: fc.option(fc.nat(2 ** 31), { nil: undefined }),
    tookMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    isFull: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(page), (pages) => {
      const size = new PageSize(1)
      for (const handled of pages) size.handled({ ...handled, events: size.events })
      expect(Number.isInteger(size.events) && size.events >= 1 && size.events <= MOST_EVENTS).toBe(true)
    }),
  )
})

test.each([
  ['by default the first pages are small, and grow', {}, ['100 after 0', '100 after 100', '400 after 200']],
  [
    'with batchSize each page has that many events',
    { batchSize: 300 },
    ['300 after 0', '300 after 300', '300 after 600'],
  ],
])('%s', async (_, options, expected) => {
  const { events, clock, daemon } = rig()
  for (let i = 0; i < 2_000; i++) events.append('a', i)
  const loads: string[] = []
  const source = altered(events, {
    load: (request: LoadRequest<bigint>) => {
      loads.push(`${request.limit} after ${request.after ?? 0}`)
      return events.load(request)
    },
  })
  const running = daemon([recording('all', options)], { source })
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(loads.slice(0, 3)).toEqual(expected)
})

/** How many events each page has, of events of these sizes, where so many are wanted; one that would bring too much is asked for again, smaller. */
function givenSizes(given: number, pages: readonly number[]): number[] {
  const size = new PageSize(1, given)
  return pages.map((bytesEach) => {
    let events = size.events
    let givenUp = 0
    while (events > 1 && events * bytesEach > size.mostBytes) {
      givenUp += size.mostBytes
      events = Math.max(1, Math.floor(events / 32))
    }
    size.read({ events: Array.from({ length: events }), bytes: givenUp + events * bytesEach })
    size.handled({ events, bytes: events * bytesEach, tookMs: 60_000, isFull: true })
    return events
  })
}

test('a batchSize that is given is kept to, however long a batch takes, as long as its events bring no more than a page may', () => {
  expect(givenSizes(300, Array(5).fill(27_000))).toEqual(Array(5).fill(300))
  expect(givenSizes(5_000, Array(5).fill(1_600))).toEqual(Array(5).fill(5_000))
})

test('large events get smaller batches than were asked for, of some MiB, and small ones behind them whole batches again', () => {
  const large = givenSizes(5_000, [...Array(8).fill(5_000), ...Array(4).fill(100)])
  const settled = large.slice(3, 8)
  for (const events of settled) {
    expect(events * 5_000).toBeLessThanOrEqual(8 * MIB)
    expect(events * 5_000).toBeGreaterThanOrEqual(2 * MIB)
  }
  expect(large.slice(-2)).toEqual([5_000, 5_000])
  expect(givenSizes(100, Array(4).fill(5 * MIB)).slice(1)).toEqual([1, 1, 1])
})

test('a size that was given is never exceeded, nor below one event', () => {
  const page = fc.tuple(fc.nat(5_000), fc.option(fc.nat(2 ** 31), { nil: undefined }))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), fc.array(page), (given, pages) => {
      const last = pages.reduce(
        (size, [events, bytes]) => givenSizeAfter(size, given, events, bytes, 8 * MIB),
        given,
      )
      expect(Number.isInteger(last) && last >= 1 && last <= given).toBe(true)
    }),
  )
})

test('the pages of all projections of a daemon, and those read ahead, share a memory, however many there are', () => {
  for (const projections of [1, 10, 32, 33, 100, 1_000]) {
    expect(projections * aimBytes(projections)).toBeLessThanOrEqual(64 * MIB)
    expect(projections * new PageSize(projections).mostBytes).toBeLessThanOrEqual(4 * 64 * MIB)
  }
  expect([1, 10, 100].map(aimBytes)).toEqual([2 * MIB, 2 * MIB, Math.floor((64 * MIB) / 100)])
  const size = new PageSize(100)
  size.read({ events: Array.from({ length: 100 }), bytes: 4 * MIB })
  expect(size.events).toBe(15)
})

test('a page says how much it may bring, and beside an event that is larger by itself none is read ahead', async () => {
  const { events, clock, daemon } = rig()
  for (let i = 0; i < 3; i++) events.append('a', i)
  const loads: string[] = []
  const handled: string[] = []
  const source = altered(events, {
    load: async (request: LoadRequest<bigint>) => {
      const { after = 0n, mostBytes: most = 0 } = request
      loads.push(`${most / MIB} MiB after ${after}`)
      const page = await events.load({ ...request, limit: 1 })
      return { ...page, bytes: after === 1n ? 9 * MIB : 100 }
    },
  })
  const running = daemon(
    [
      {
        name: 'all',
        handle: async ([event]) => {
          await clock.sleep(10, new AbortController().signal)
          handled.push(`${event?.position}, loaded ${loads.at(-1)}`)
        },
      },
    ],
    { source },
  )
  await running.start()
  await clock.run(running.waitUntilProjected())
  expect(handled).toEqual(['1, loaded 8 MiB after 1', '2, loaded 8 MiB after 1', '3, loaded 8 MiB after 2'])
})

const events = fc.array(
  fc.record({
    type: fc.constantFrom('rare', 'common', 'common', 'common'),
    bytes: fc.constantFrom(10, 5_000, 5 * MIB),
  }),
  { minLength: 1, maxLength: 80 },
)

test('whatever pages, filter, sizes of events, and range that a page looks through, the checkpoint comes to the mark, and no page is read in vain', async () => {
  await fc.assert(
    fc.asyncProperty(
      events,
      fc.option(fc.integer({ min: 1, max: 50 }), { nil: undefined }),
      fc.constantFrom<readonly string[] | undefined>(undefined, ['rare'], ['common', 'rare'], ['never']),
      fc.bigInt({ min: 1n, max: 60n }),
      async (appended, batchSize, eventTypes, range) => {
        const { events, clock, daemon } = rig()
        for (const { type, bytes } of appended) events.append(type, bytes)
        const ends: bigint[] = []
        const source = altered(events, {
          load: async (request: LoadRequest<bigint>) => {
            const within = (request.after ?? 0n) + range
            const upTo = within < request.upTo ? within : request.upTo
            const page = await events.load({ ...request, upTo })
            ends.push(page.through)
            return { ...page, bytes: page.events.reduce((sum, { data }) => sum + Number(data), 0) }
          },
        })
        const all = recording('all', {
          ...(batchSize === undefined ? {} : { batchSize }),
          ...(eventTypes === undefined ? {} : { eventTypes }),
        })
        const running = daemon([all], { source })
        await running.start()
        await clock.run(running.waitUntilProjected())
        await clock.advance(2_000)
        const wanted = appended.flatMap(({ type }, at) =>
          eventTypes?.includes(type) === false ? [] : [BigInt(at + 1)],
        )
        expect(all.seen).toEqual(wanted)
        expect(positionOf(running, 'all')).toBe(BigInt(appended.length))
        expect(new Set(ends).size, 'each page moves on').toBe(ends.length)
        await clock.run(running.stop())
      },
    ),
    { numRuns: 50 },
  )
})
