import { denseOrder } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isReached, laterOf } from '../../packages/core/src/ports/position.ts'

test('any integer position survives being formatted and parsed', () => {
  fc.assert(
    fc.property(fc.bigInt(), (position) => {
      expect(denseOrder.parse(denseOrder.format(position))).toBe(position)
    }),
  )
})

test('equal positions have one text, so that checkpoint stores may compare texts', () => {
  for (const text of ['007', '+7', '7.0', '7e0', ' 7', '-0', '0x7', '', 'seven']) {
    expect(() => denseOrder.parse(text), text).toThrow(TypeError)
  }
})

test('positions are ordered as integers, also beyond 2^53 and below zero', () => {
  expect(denseOrder.compare(2n ** 60n, 2n ** 60n + 1n)).toBeLessThan(0)
  expect(denseOrder.compare(-1n, 0n)).toBeLessThan(0)
  expect(denseOrder.compare(10n, 9n)).toBeGreaterThan(0)
  expect(denseOrder.compare(0n, 0n)).toBe(0)
})

test('a dense distance is the number of positions after one, up to and including the other', () => {
  expect(denseOrder.distance(40n, 42n)).toBe(2n)
  expect(denseOrder.distance(-1n, 0n)).toBe(1n)
  expect(denseOrder.distance(5n, 5n)).toBe(0n)
})

test('no position at all is below every position, 0 and negatives included', () => {
  expect(isReached(denseOrder, undefined, undefined)).toBe(true)
  expect(isReached(denseOrder, undefined, 0n)).toBe(true)
  expect(isReached(denseOrder, 0n, undefined)).toBe(false)
  expect(isReached(denseOrder, -5n, undefined)).toBe(false)
  expect(laterOf(denseOrder, undefined, 0n)).toBe(0n)
  expect(laterOf(denseOrder, -3n, undefined)).toBe(-3n)
  expect(laterOf(denseOrder, 1n, 2n)).toBe(2n)
  expect(laterOf(denseOrder, undefined, undefined)).toBeUndefined()
})

test('a position is reached by itself and by what follows it', () => {
  expect(isReached(denseOrder, 4n, 3n)).toBe(false)
  expect(isReached(denseOrder, 4n, 4n)).toBe(true)
  expect(isReached(denseOrder, 4n, 5n)).toBe(true)
})
