import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MissingPositions, MOST_FOLLOWED } from '../../../packages/pg-adapter/src/audit/missing-positions.ts'

/** For each position the look from which on it is visible; beyond the last look: never. */
const history = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 12 })
const LOOKS = 10

test('what is reported was missing in a look that showed a higher position, and for how long', () => {
  fc.assert(
    fc.property(history, (from) => {
      const positions = new MissingPositions(0n)
      const found = new Map<bigint, { passedBy: bigint; missingMs: number }>()
      const shows = (look: number) =>
        from.flatMap((first, index) => (first <= look ? [BigInt(index + 1)] : []))
      for (let look = 0; look < LOOKS; look++) {
        const asked = new Set(positions.missing)
        const { highest = 0n } = positions
        const visible = shows(look).filter((position) => position > highest || asked.has(position))
        for (const { position, ...late } of positions.take({
          sentMs: look * 100,
          answeredMs: look * 100 + 1,
          visible,
        })) {
          found.set(position, late)
        }
      }
      for (const [index, first] of from.entries()) {
        const position = BigInt(index + 1)
        const missedBy = Array.from({ length: LOOKS }, (_, look) => look).filter((look) => {
          const shown = shows(look)
          return shown.some((other) => other > position) && !shown.includes(position)
        })
        const [firstMissed, lastMissed = 0] = [missedBy[0], missedBy.at(-1)]
        if (firstMissed === undefined || first >= LOOKS) {
          expect(found.has(position)).toBe(false)
          continue
        }
        expect(found.get(position)).toMatchObject({
          missingMs: Math.max(0, lastMissed * 100 - firstMissed * 100 - 1),
        })
        expect(shows(firstMissed)).toContain(found.get(position)?.passedBy)
      }
    }),
  )
})

test('a jump of the numbers is followed as far as a look can ask, and the rest is counted', () => {
  const positions = new MissingPositions(0n)
  positions.take({ sentMs: 0, answeredMs: 1, visible: [1_000_000n] })
  expect(positions.missing).toHaveLength(MOST_FOLLOWED)
  positions.take({ sentMs: 2, answeredMs: 3, visible: [1_000_003n] })
  expect(positions.missing).toHaveLength(MOST_FOLLOWED)
  expect(positions.missing).toContain(1_000_002n)
  expect(positions.notFollowed).toBe(999_999n + 2n - BigInt(MOST_FOLLOWED))
})

test('in an empty table the first event begins the count', () => {
  const positions = new MissingPositions(undefined)
  positions.take({ sentMs: 0, answeredMs: 1, visible: [] })
  positions.take({ sentMs: 2, answeredMs: 3, visible: [41n] })
  expect(positions.missing).toEqual([])
})
