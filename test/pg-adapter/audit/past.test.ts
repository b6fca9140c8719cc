import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LeftOut, PageRow } from '../../../packages/pg-adapter/src/audit/page-sql.ts'
import { type Past, PastCounts } from '../../../packages/pg-adapter/src/audit/past.ts'

const WAITS_MS = [0, 0.002, 0.005]
const LONG_RUN = 4

/** Few values, so that positions, transactions and times are often equal. */
const few = fc.integer({ min: 1, max: 12 })
const leftOut = fc.constantFrom<LeftOut>('placeholder', 'other_transaction', 'marked_rewritten')
const table: fc.Arbitrary<readonly PageRow[]> = fc
  .array(
    fc.record({
      position: few,
      transaction: fc.option(few, { nil: undefined, freq: 8 }),
      committedAtUs: fc.option(few, { nil: undefined, freq: 8 }),
      leftOut: fc.option(leftOut, { nil: undefined, freq: 1 }),
    }),
    { maxLength: 30 },
  )
  .map((rows) =>
    rows
      .toSorted((a, b) => b.position - a.position)
      .map(({ position, ...row }) => ({ position: String(position), ...row })),
  )

function counted(rows: readonly PageRow[], longRun: number): Past {
  const counts = new PastCounts({
    waitsMs: WAITS_MS,
    hasTimestamps: true,
    hasEventTimes: false,
    longRun,
  })
  for (const row of rows) counts.add(row)
  return counts.result()
}

/** Each row against each: what `auditCommits` says that it counts. */
function byDefinition(all: readonly PageRow[]) {
  const rows = all.filter((row) => row.leftOut === undefined)
  const delays: { readonly position: bigint; readonly delayUs: number }[] = []
  let atRisk = 0
  let wereOpen = 0
  for (const row of rows) {
    const above = rows.filter((other) => Number(other.position) > Number(row.position))
    const commits = above.flatMap(({ committedAtUs }) => committedAtUs ?? [])
    const delayUs = (row.committedAtUs ?? 0) - Math.min(...commits)
    if (delayUs > 0) delays.push({ position: BigInt(row.position), delayUs })
    const older = above.filter(
      ({ transaction }) =>
        transaction !== undefined && row.transaction !== undefined && transaction < row.transaction,
    )
    if (older.length > 0) atRisk++
    if (older.some(({ committedAtUs }) => (committedAtUs ?? Infinity) < (row.committedAtUs ?? 0))) wereOpen++
  }
  return {
    inverted: delays.length,
    longestMs: delays.map(({ delayUs }) => delayUs / 1_000).toSorted((a, b) => b - a),
    lost: WAITS_MS.map((wait) => delays.filter(({ delayUs }) => delayUs > wait * 1_000).length),
    atRisk,
    wereOpen,
  }
}

test('inversions, delays and events at risk are those of the definition, for every table', () => {
  fc.assert(
    fc.property(table, (rows) => {
      const { inversions, behindXmin, ...past } = counted(rows, Number.POSITIVE_INFINITY)
      const expected = byDefinition(rows)
      expect({
        inverted: inversions.inverted,
        longestMs: inversions.longest.map(({ delayMs }) => delayMs),
        lost: inversions.fixedWaits.map(({ lost }) => lost),
        atRisk: behindXmin.atRisk,
        wereOpen: behindXmin.wereOpen,
      }).toEqual({ ...expected, longestMs: expected.longestMs.slice(0, 10) })
      const left = Object.values(past.leftOut).reduce((sum, rows) => sum + rows, 0)
      expect(left + inversions.events + past.withoutTimestamp).toBe(rows.length)
    }),
    { numRuns: 2_000 },
  )
})

test('of an inversion the position is named that was there first', () => {
  fc.assert(
    fc.property(table, (rows) => {
      const { inversions } = counted(rows, Number.POSITIVE_INFINITY)
      const committedAt = (at: bigint, delayMs: number) =>
        rows.some((row) => {
          const isThere = row.leftOut === undefined && BigInt(row.position) === at
          return (
            isThere &&
            rows.some((late) => late.committedAtUs === (row.committedAtUs ?? NaN) + delayMs * 1_000)
          )
        })
      for (const { position, passedBy, delayMs } of inversions.longest) {
        expect(passedBy).toBeGreaterThan(position)
        expect(committedAt(passedBy, delayMs)).toBe(true)
      }
    }),
  )
})

test('a histogram and its fixed waits say the same', () => {
  fc.assert(
    fc.property(table, (rows) => {
      const { histogram, fixedWaits } = counted(rows, LONG_RUN).inversions
      fixedWaits.forEach(({ lost }, wait) => {
        expect(histogram.slice(wait).reduce((sum, { events }) => sum + events, 0)).toBe(lost)
      })
    }),
  )
})

test('a long run of one transaction is left out as a whole, and everything else is as without it', () => {
  fc.assert(
    fc.property(table, (rows) => {
      const runs: PageRow[][] = []
      for (const row of rows.filter(({ leftOut: reason }) => reason === undefined)) {
        const run = runs.at(-1)
        if (run && row.transaction !== undefined && run[0]?.transaction === row.transaction) run.push(row)
        else runs.push([row])
      }
      const short = runs.filter((run) => run.length < LONG_RUN).flat()
      const past = counted(rows, LONG_RUN)
      const expected = byDefinition(short)
      expect(past.leftOut.one_transaction).toBe(runs.flat().length - short.length)
      expect(past.inversions.inverted).toBe(expected.inverted)
      expect(past.behindXmin.atRisk).toBe(expected.atRisk)
    }),
    { numRuns: 1_000 },
  )
})
