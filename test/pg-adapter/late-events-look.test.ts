import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isLookDue, type Look, NO_LOOK } from '../../packages/pg-adapter/src/proof/late-events.ts'

/** The fewest runs that are watched, see `newestRuns`. */
const FEWEST = 10

const polls = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 150 }), proven: fc.integer({ min: 0, max: 5 }) }),
  { maxLength: 100 },
)

test('every run is looked at again before newer ones take its place', () => {
  fc.assert(
    fc.property(polls, (of) => {
      let [nowMs, look]: [number, Look] = [0, NO_LOOK]
      let neverLookedAt: number[] = []
      let watched: number[] = []
      for (const [poll, { afterMs, proven }] of of.entries()) {
        nowMs += afterMs
        if (isLookDue(look, nowMs, { relations: { length: 1 } })) {
          look = { atMs: nowMs, newRuns: 0 }
          neverLookedAt = []
        }
        const runs = Array.from({ length: proven }, (_, run) => poll * 10 + run)
        watched = [...watched, ...runs].slice(-FEWEST)
        neverLookedAt.push(...runs)
        look = { ...look, newRuns: look.newRuns + proven }
        expect(neverLookedAt.filter((run) => !watched.includes(run))).toEqual([])
      }
    }),
  )
})

test('however many polls there are, they look every 100 ms at most while no run is new, of many partitions as much less often', () => {
  fc.assert(
    fc.property(polls, fc.integer({ min: 1, max: 3_000 }), (of, length) => {
      let [nowMs, look]: [number, Look] = [0, NO_LOOK]
      const lookedAtMs: number[] = []
      for (const { afterMs } of of) {
        nowMs += afterMs
        if (!isLookDue(look, nowMs, { relations: { length } })) continue
        look = { atMs: nowMs, newRuns: 0 }
        lookedAtMs.push(nowMs)
      }
      for (const [index, atMs] of lookedAtMs.entries()) {
        expect(atMs - (lookedAtMs[index - 1] ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(
          Math.max(100, length),
        )
      }
    }),
  )
})

test.each([
  [1, 100],
  [100, 100],
  [101, 101],
  [1_000, 1_000],
])(
  'the runs of %d partitions and tables are looked at again after %d ms, or when many are new',
  (length, everyMs) => {
    const isDue = (look: Look, nowMs: number) => isLookDue(look, nowMs, { relations: { length } })
    expect(isDue(NO_LOOK, 0)).toBe(true)
    expect(isDue({ atMs: 5_000, newRuns: 0 }, 5_000 + everyMs)).toBe(true)
    expect(isDue({ atMs: 5_000, newRuns: 4 }, 5_000 + everyMs - 1)).toBe(false)
    expect(isDue({ atMs: 5_000, newRuns: 5 }, 5_000)).toBe(true)
  },
)
