import { describe, expect, test } from 'vitest'
import { type History, KEPT_MS, seen, shownFromMs } from '../../../packages/console/page/pure/history.ts'
import { areaPath, linePath } from '../../../packages/console/page/pure/line.ts'

describe('what was seen of a figure', () => {
  const SECOND = 1_000
  const looks = (...values: readonly (readonly [seconds: number, value: number])[]): History =>
    values.reduce<History>((history, [at, value]) => seen(history, { atMs: at * SECOND, value }), [])

  test('is kept for as long as a line shows', () => {
    const history = looks([0, 1], [10, 2], [KEPT_MS / SECOND + 5, 3])
    expect(history.map(({ value }) => value)).toEqual([2, 3])
  })

  test('keeps the newest of looks that come quickly one after the other', () => {
    const history = looks([0, 1], [1, 2], [1.5, 3], [1.9, 4], [4, 5])
    expect(history.map(({ value }) => value)).toEqual([1, 4, 5])
  })

  test('does not go back with a look that arrives late', () => {
    expect(looks([5, 2], [4, 1]).map(({ value }) => value)).toEqual([2])
  })
})

describe('what lines are compared over', () => {
  const at = (atMs: number): History => [{ atMs, value: 1 }]

  test('begins with the first of them', () => {
    expect(shownFromMs([at(400_000), at(300_000), []], 500_000)).toBe(300_000)
  })

  test('is a minute at least, and no more than is kept', () => {
    expect(shownFromMs([at(499_000)], 500_000)).toBe(440_000)
    expect(shownFromMs([at(1)], KEPT_MS * 2)).toBe(KEPT_MS)
  })
})

describe('a line', () => {
  const frame = { width: 100, height: 10, fromMs: 0, toMs: 100_000, least: 0, most: 10 }

  test('goes from left to right, and up with its value', () => {
    const history = [
      { atMs: 0, value: 0 },
      { atMs: 20_000, value: 5 },
      { atMs: 40_000, value: 10 },
    ]
    expect(linePath(history, frame)).toBe('M0 10L20 5L40 0')
  })

  test('and another one have a space between them', () => {
    const [lower, upper] = [0, 5].map((value) => [
      { atMs: 0, value },
      { atMs: 20_000, value },
    ])
    expect(areaPath(upper ?? [], lower ?? [], frame)).toBe('M0 5L20 5L20 10L0 10Z')
    expect(areaPath([], [], frame)).toBe('')
  })

  test('is broken where nobody has looked', () => {
    const history = [
      { atMs: 0, value: 0 },
      { atMs: 60_000, value: 10 },
    ]
    expect(linePath(history, frame)).toBe('M0 10M60 0')
  })

  test('is flat at the bottom where nothing has changed', () => {
    expect(linePath([{ atMs: 0, value: 7 }], { ...frame, least: 7, most: 7 })).toBe('M0 10')
  })

  test('leaves out what is before its left end', () => {
    const history = [
      { atMs: 0, value: 0 },
      { atMs: 50_000, value: 10 },
    ]
    expect(linePath(history, { ...frame, fromMs: 25_000 })).toBe('M33.3 0')
  })
})
