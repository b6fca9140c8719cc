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
}

interface Call {
  readonly positions: readonly number[]
  readonly limit: number
  readonly failed: boolean
}

/** Hands a log out as a projection does; what is found at the narrowest is handled at its next try. */
function handOut({ groups, poison, batchSize }: Log) {
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
    const failed = positions.some((position) => left.has(position))
    calls.push({ positions, limit, failed })
    const last = positions.at(-1) ?? Number.NaN
    if (failed) {
      const extent = { events, first: BigInt(at), last: BigInt(last) }
      if (!isNarrowable(denseOrder, narrowing, extent)) {
        blamed.push(...positions)
        for (const position of positions) left.delete(position)
      }
      narrowing = narrowed(narrowing, extent)
    } else {
      handled.push(...positions)
      at = last + 1
      narrowing = narrowedAt(denseOrder, narrowing, BigInt(last))
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
      // With what is beyond the batch itself: events that share a position.
      const most = Math.floor(Math.log2(log.batchSize + 8)) + 1
      expect(calls.filter(({ failed }) => failed).length).toBeLessThanOrEqual(log.poison.size * most)
    }),
  )
})

test('once the batch that failed is handled, batches are whole again', () => {
  fc.assert(
    fc.property(LOG, (log) => {
      const { calls } = handOut(log)
      let through = -1
      for (const { positions, limit, failed } of calls) {
        const first = positions[0] ?? Number.NaN
        if (first > through) expect(limit).toBe(log.batchSize)
        else expect(limit).toBeLessThanOrEqual(Math.max(1, log.batchSize + 8) / 2)
        if (failed) through = positions.at(-1) ?? through
      }
    }),
  )
})

test('a source that parts no further when asked for one event is not asked again and again', () => {
  let narrowing: Narrowing<bigint> | undefined
  const extent = { events: 100, first: 1n, last: 100n }
  let halvings = 0
  while (isNarrowable(denseOrder, narrowing, extent)) {
    narrowing = narrowed(narrowing, extent)
    halvings++
  }
  expect(halvings).toBe(6)
})
