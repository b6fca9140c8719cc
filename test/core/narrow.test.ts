import { denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  isNarrowable,
  type Narrowing,
  narrowed,
  narrowedAt,
} from '../../packages/core/src/failures/narrow.ts'

interface Log {
  /** How many events each position has. */
  readonly groups: readonly number[]
  /** Positions at which the handler fails. */
  readonly poison: ReadonlySet<number>
  readonly batchSize: number
  /** How many events the handler takes at once, from that position on. */
  readonly most?: (position: number) => number
}

interface Call {
  readonly positions: readonly number[]
  readonly limit: number
  readonly failed: boolean
}

/** Hands a log out as a projection does; what is found at the narrowest is handled at its next try. */
function handOut({ groups, poison, batchSize, most = () => Number.POSITIVE_INFINITY }: Log) {
  const left = new Set(poison)
  const calls: Call[] = []
  const handled: number[] = []
  const blamed: number[] = []
  let narrowing: Narrowing<bigint> | undefined
  let at = 0
  while (at < groups.length) {
    const limit = narrowing?.limit ?? batchSize
    const positions: number[] = []
    let events = 0
    while (events < limit && at + positions.length < groups.length) {
      events += groups[at + positions.length] ?? 0
      positions.push(at + positions.length)
    }
    const isPoisoned = positions.some((position) => left.has(position))
    const failed = isPoisoned || (events > most(at) && positions.length > 1)
    calls.push({ positions, limit, failed })
    const last = positions.at(-1) ?? Number.NaN
    if (failed) {
      const extent = { events, first: BigInt(at), last: BigInt(last) }
      if (!isNarrowable(denseOrder, narrowing, extent)) {
        blamed.push(...positions)
        for (const position of positions) left.delete(position)
      }
      narrowing = narrowed(narrowing, extent, batchSize)
    } else {
      handled.push(...positions)
      at = last + 1
      narrowing = narrowedAt(denseOrder, narrowing, BigInt(last), events, batchSize)
    }
  }
  return { calls, handled, blamed, narrowing }
}

const LOG = fc
  .array(fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 9 })), {
    minLength: 1,
    maxLength: 300,
  })
  .chain((groups) =>
    fc.record({
      groups: fc.constant(groups),
      poison: fc.array(fc.nat(groups.length - 1), { maxLength: 4 }).map((found) => new Set(found)),
      batchSize: fc.integer({ min: 1, max: 120 }),
    }),
  )

test('exactly what fails is blamed, in order, and everything is handled once', () => {
  fc.assert(
    fc.property(LOG, (log) => {
      const { handled, blamed } = handOut(log)
      expect(blamed).toEqual([...log.poison].sort((a, b) => a - b))
      expect(handled).toEqual(log.groups.map((_, position) => position))
    }),
  )
})

test('one that fails is found in as many calls as its batch can be halved', () => {
  fc.assert(
    fc.property(LOG, (log) => {
      const { calls } = handOut(log)
      // With what is beyond the batch itself: events that share a position. A batch that has grown fails once more.
      const most = Math.floor(Math.log2(log.batchSize + 8)) + 2
      expect(calls.filter(({ failed }) => failed).length).toBeLessThanOrEqual(log.poison.size * most)
    }),
  )
})

test('a batch is never larger than what may be asked for, and never more than twice as large as the one before it', () => {
  fc.assert(
    fc.property(LOG, (log) => {
      const { calls } = handOut(log)
      for (const [index, { limit, failed }] of calls.entries()) {
        expect(limit).toBeLessThanOrEqual(log.batchSize)
        const next = calls[index + 1]
        if (next === undefined) continue
        if (failed) expect(next.limit).toBeLessThan(Math.max(2, limit))
        else expect([limit, Math.min(limit * 2, log.batchSize)]).toContain(next.limit)
      }
    }),
  )
})

const ofOne = (count: number): number[] => Array.from({ length: count }, () => 1)
const failedOf = (calls: readonly Call[]): number => calls.filter(({ failed }) => failed).length

test('while the batch that failed is not handled to its end, batches do not grow', () => {
  const { calls } = handOut({ groups: ofOne(64), poison: new Set([60]), batchSize: 64 })
  const parted = calls.slice(
    0,
    calls.findIndex(({ positions }) => positions.includes(60) && positions.length === 1),
  )
  expect(parted.map(({ limit }) => limit)).toEqual([64, 32, 32, 16, 16, 8, 8, 4, 4, 2])
})

test('once it is, they double with each that passes, until they are whole', () => {
  const { calls } = handOut({ groups: ofOne(300), poison: new Set([0]), batchSize: 100 })
  const from = calls.findIndex(({ positions, failed }) => positions[0] === 0 && !failed)
  expect(calls.slice(from).map(({ limit }) => limit)).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100])
})

test.each([
  [0, 29, 10],
  [6_370, 37, 10],
  [9_999, 20, 5],
])(
  'one poison event in 10,000 (%d) costs little: %d calls, of which 10 would be needed without it',
  (at, count, failures) => {
    const { calls, blamed, narrowing } = handOut({
      groups: ofOne(10_000),
      poison: new Set([at]),
      batchSize: 1_000,
    })
    expect(blamed).toEqual([at])
    expect(failedOf(calls), 'the whole batch, and each half of it that holds the event').toBe(failures)
    expect(calls).toHaveLength(count)
    if (at < 9_000) expect(narrowing, 'batches are whole again').toBeUndefined()
  },
)

test.each([
  [100_000, 10],
  [1_000_000, 24],
])(
  'a handler that takes 300 events at most is given 250 at a time: of %d events, %d calls fail',
  (count, most) => {
    const { calls, handled } = handOut({
      groups: ofOne(count),
      poison: new Set(),
      batchSize: 1_000,
      most: () => 300,
    })
    expect(handled).toHaveLength(count)
    expect(failedOf(calls)).toBe(most)
    expect(calls.length - failedOf(calls)).toBe(count / 250)
  },
)

test('a handler that takes more from some event on is given whole batches again, by itself', () => {
  const { calls, narrowing } = handOut({
    groups: ofOne(500_000),
    poison: new Set(),
    batchSize: 1_000,
    most: (position) => (position < 200_000 ? 300 : 1_000),
  })
  expect(narrowing).toBeUndefined()
  const whole = calls.findIndex(({ limit, failed }) => limit === 1_000 && !failed)
  expect(
    calls[whole]?.positions[0],
    'after so many batches as the last failed growth has to be followed by',
  ).toBeLessThan(200_000 + 256 * 250 + 128 * 500 + 1_000)
})

test('batches that are no larger than what works prove nothing about a larger one', () => {
  const failed = { events: 1_000, first: 1n, last: 1_000n }
  let narrowing: Narrowing<bigint> | undefined = narrowed(undefined, failed, 1_000)
  let at = 1_000n
  // Two halves of it, then ten pages of three events.
  for (const events of [500, 500, ...Array.from({ length: 10 }, () => 3)]) {
    at += BigInt(events)
    narrowing = narrowedAt(denseOrder, narrowing, at, events, 1_000)
  }
  expect(narrowing).toMatchObject({ limit: 1_000, works: 500 })
  narrowing = narrowed(narrowing, { events: 900, first: at + 1n, last: at + 900n }, 1_000)
  expect(narrowing).toMatchObject({ limit: 500, works: 500, patience: 2 })
})

test('a small batch that fails while a larger one is waited for is halved, as any other', () => {
  const growing: Narrowing<bigint> = { limit: 500, works: 250, through: undefined, passed: 0, patience: 4 }
  const extent = { events: 40, first: 1n, last: 40n }
  expect(narrowed(growing, extent, 1_000)).toMatchObject({ limit: 20, works: 20, through: 40n, patience: 4 })
})

test('a page with nothing in it ends what failed, and is no batch that has passed', () => {
  const parting: Narrowing<bigint> = { limit: 2, works: 2, through: 9n, passed: 0, patience: 1 }
  expect(narrowedAt(denseOrder, parting, 8n, 0, 100)).toBe(parting)
  expect(narrowedAt(denseOrder, parting, 9n, 0, 100)).toEqual({ ...parting, through: undefined })
})

test('a source that parts no further when asked for one event is not asked again and again', () => {
  let narrowing: Narrowing<bigint> | undefined
  const extent = { events: 100, first: 1n, last: 100n }
  let halvings = 0
  while (isNarrowable(denseOrder, narrowing, extent)) {
    narrowing = narrowed(narrowing, extent, 100)
    halvings++
  }
  expect(halvings).toBe(6)
})
