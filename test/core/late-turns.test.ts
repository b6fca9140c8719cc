import { expect, test } from 'vitest'
import { LateTurns } from '../../packages/core/src/projection/late-turns.ts'

const open = Array.from({ length: 250 }, (_, n) => String(n + 1))

test('they are taken lowest first, so many at once', () => {
  const turns = new LateTurns(60_000)
  expect(turns.choose(open, 0)).toEqual(open.slice(0, 100))
})

test('after a failure each is tried by itself; the one that fails waits, longer each time, and the others go on', () => {
  const turns = new LateTurns(4_000)
  turns.failed(turns.choose(open, 0), 0, 0.5)
  expect(turns.choose(open, 0)).toEqual(['1'])
  const waits: number[] = []
  let nowMs = 0
  for (let tries = 0; tries < 5; tries++) {
    turns.failed(['1'], nowMs, 0.5)
    expect(turns.choose(open, nowMs)).toEqual(['2'])
    expect(turns.asksFor).toBeGreaterThan(100)
    let waitMs = 0
    while (turns.choose(open, nowMs + waitMs)[0] !== '1') waitMs += 500
    waits.push(waitMs)
    nowMs += waitMs
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 4_000, 4_000])
})

test('once some are handled, more are taken at once again', () => {
  const turns = new LateTurns(60_000)
  turns.failed(['1', '2'], 0, 0.5)
  const sizes = Array.from({ length: 9 }, () => {
    const chosen = turns.choose(open, 0)
    turns.handled(chosen)
    return chosen.length
  })
  expect(sizes).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100])
})
