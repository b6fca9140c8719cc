import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  apartMs,
  leastRestMs,
  nextBackOffMs,
  POLLS_IN_A_ROW,
  restMs,
  spacedToMs,
} from '../../packages/core/src/high-water/cadence.ts'

/** By polling alone. */
const POLLED = { moved: false, behind: false, isTold: false }
const cadence = { pollIntervalMs: 1_000, pollDelayMs: 25, pollTimeShare: 0.5 }

function waits(polls: number, outcome: { readonly behind: boolean }): number[] {
  const all: number[] = []
  let backOffMs = 0
  for (let poll = 0; poll < polls; poll++) {
    backOffMs = nextBackOffMs(cadence, { ...POLLED, behind: outcome.behind, backOffMs })
    all.push(backOffMs)
  }
  return all
}

describe('polling', () => {
  test('goes on at once while something moves and more is out, whatever the back-off was', () => {
    expect(nextBackOffMs(cadence, { ...POLLED, moved: true, behind: true, backOffMs: 50 })).toBe(0)
  })

  test('by a guess alone, where everything is settled, comes after pollDelayMs, and at once where that is 0', () => {
    const settled = { ...POLLED, moved: true, backOffMs: 1_000 }
    expect(nextBackOffMs(cadence, settled)).toBe(25)
    expect(nextBackOffMs({ ...cadence, pollDelayMs: 0 }, settled)).toBe(0)
  })

  test('of an idle store backs off from pollDelayMs to the poll interval and stays there', () => {
    const idle = waits(15, { behind: false })
    expect(idle.slice(0, 4)).toEqual([25, 50, 100, 200])
    expect(idle.at(-1)).toBe(1_000)
    expect(Math.max(...idle)).toBe(1_000)
  })

  test('rests for the poll interval where everything is settled and the next append is told', () => {
    const told = { ...POLLED, isTold: true, backOffMs: 0 }
    expect(nextBackOffMs(cadence, { ...told, moved: true })).toBe(1_000)
    expect(nextBackOffMs(cadence, told)).toBe(1_000)
  })

  test('behind an open transaction goes on as ever, though the next append is told: its end is not', () => {
    const told = { ...POLLED, isTold: true, behind: true }
    expect(nextBackOffMs(cadence, { ...told, moved: true, backOffMs: 50 })).toBe(0)
    expect(nextBackOffMs(cadence, { ...told, backOffMs: 0 })).toBe(1)
  })

  test('behind an open transaction never waits longer than 50 ms, however long it stays open', () => {
    const behind = waits(100, { behind: true })
    expect(behind.at(-1)).toBe(50)
    expect(Math.max(...behind)).toBe(50)
  })

  test('behind an open transaction adds at most about a quarter to the time it was held up', () => {
    const behind = waits(100, { behind: true })
    let heldUpMs = 0
    for (const wait of behind) {
      expect(wait).toBeLessThanOrEqual(Math.max(1, heldUpMs * 0.25) + 1)
      heldUpMs += wait
    }
  })

  test('never waits longer than a poll interval that is shorter than 50 ms', () => {
    const quick = { ...cadence, pollIntervalMs: 10 }
    expect(nextBackOffMs(quick, { ...POLLED, behind: true, backOffMs: 9 })).toBe(10)
  })

  test('takes no more than its share of time', () => {
    expect(restMs({ ...cadence, pollTimeShare: 1 }, 8)).toBe(0)
    expect(restMs({ ...cadence, pollTimeShare: 0.5 }, 8)).toBe(8)
    expect(restMs({ ...cadence, pollTimeShare: 0.2 }, 8)).toBe(32)
  })

  test('rests for as long as a quick poll took, since those that are pollDelayMs apart are within their share', () => {
    expect(restMs({ ...cadence, pollTimeShare: 0.2 }, 5)).toBe(5)
    expect(restMs({ ...cadence, pollTimeShare: 0.8 }, 4)).toBe(1)
    expect(restMs({ ...cadence, pollTimeShare: 0.2, pollDelayMs: 0 }, 5)).toBe(20)
  })

  test('never rests longer than the poll interval, also after a poll during which the machine slept', () => {
    expect(restMs(cadence, 3_600_000)).toBe(1_000)
    expect(restMs({ ...cadence, pollIntervalMs: 200, pollTimeShare: 0.02 }, 20)).toBe(200)
  })

  test('after a wake-up rests only for what the quickest of the last polls asks for', () => {
    expect(leastRestMs(cadence, [5, 900, 4, 7_000])).toBe(4)
    expect(leastRestMs(cadence, [7_000])).toBe(1_000)
  })
})

/** When polls begin where something to learn comes at these times. */
function begins(wishesMs: readonly number[]): number[] {
  const all: number[] = []
  let spacedTo = 0
  for (const wishMs of wishesMs) {
    const fromMs = Math.max(wishMs, all.at(-1) ?? 0)
    const atMs = fromMs + apartMs(cadence, spacedTo, fromMs)
    spacedTo = spacedToMs(cadence, spacedTo, atMs)
    all.push(atMs)
  }
  return all
}

const WISHES = fc
  .array(fc.oneof(fc.nat(5), fc.nat(60), fc.nat(2_000)), { minLength: 2, maxLength: 200 })
  .map((steps) => steps.map((_, index) => steps.slice(0, index + 1).reduce((sum, step) => sum + step, 1_000)))

describe('polls', () => {
  test('of something that comes all the time begin pollDelayMs apart, but for the first ones', () => {
    const all = begins(Array.from({ length: 1_000 }, (_, index) => 1_000 + index))
    const apart = all.slice(1).map((atMs, index) => atMs - (all[index] ?? 0))
    expect(new Set(apart.slice(POLLS_IN_A_ROW))).toEqual(new Set([25]))
  })

  test('are as many as pollDelayMs asks for and the few in a row, whenever something comes', () => {
    fc.assert(
      fc.property(WISHES, (wishesMs) => {
        const all = begins(wishesMs)
        const least = Math.min(...all.slice(POLLS_IN_A_ROW).map((atMs, index) => atMs - (all[index] ?? 0)))
        expect(least).toBeGreaterThanOrEqual(25)
      }),
    )
  })

  test('of what comes after a quiet spell begin at once, and never more than pollDelayMs later', () => {
    fc.assert(
      fc.property(WISHES, (wishesMs) => {
        const all = begins(wishesMs)
        for (const [index, atMs] of all.entries()) {
          const [wishMs = 0, beforeMs = 0] = [wishesMs[index], all[index - 1]]
          if (wishMs - beforeMs >= 25) expect(atMs).toBe(wishMs)
          else expect(atMs).toBeLessThanOrEqual(Math.max(wishMs, beforeMs) + 25)
        }
      }),
    )
  })

  test('that somebody waited for, however many, delay the next one by no more than pollDelayMs', () => {
    const hurried = Array.from({ length: 100 }, () => 1_000)
    let spacedTo = 0
    for (const atMs of hurried) spacedTo = spacedToMs(cadence, spacedTo, atMs)
    expect(apartMs(cadence, spacedTo, 1_000)).toBe(25)
  })
})
