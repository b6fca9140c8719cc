import { describe, expect, test } from 'vitest'
import {
  type Settlement,
  type SettlementPoll,
  type SettlementResult,
  settle,
  startSettlement,
  withMark,
} from '../../packages/core/src/high-water/settlement.ts'

/** One poll: `v`, the holders, the visible positions. */
function poll(
  lastHandedOut: bigint,
  holders: readonly string[],
  visible: readonly bigint[],
  windowEnd: bigint = 1_000n,
): SettlementPoll {
  return { lastHandedOut, holders, visible, windowEnd }
}

function settleAll(start: Settlement, polls: readonly SettlementPoll[]): SettlementResult[] {
  let settlement = start
  return polls.map((next) => {
    const result = settle(settlement, next)
    settlement = result.settlement
    return result
  })
}

function lastOf(start: Settlement, ...polls: SettlementPoll[]): SettlementResult {
  const result = settleAll(start, polls).at(-1)
  if (!result) throw new Error('no poll')
  return result
}

const afterTen = lastOf(startSettlement(undefined), poll(10n, [], [9n, 10n])).settlement

describe('settle', () => {
  test('waits for a slow writer that began before a faster one, and passes both once it has committed', () => {
    const [waiting, done] = settleAll(afterTen, [poll(12n, ['3/1'], [12n]), poll(12n, [], [11n, 12n])])

    expect(waiting?.settlement).toMatchObject({ settled: 10n, mark: 10n })
    expect(waiting?.gaps).toEqual([{ from: 11n, to: 11n }])
    expect(done?.settlement).toMatchObject({ settled: 12n, mark: 12n })
    expect(done?.gaps).toEqual([])
    expect(done?.provenEmpty).toEqual([])
  })

  test('follows the visible events right up to the gap of a slow writer', () => {
    const { settlement } = lastOf(afterTen, poll(14n, ['3/1'], [11n, 12n, 14n]))

    expect(settlement).toMatchObject({ settled: 12n, mark: 12n })
  })

  test('proves the number of a transaction that rolled back empty, once no holder is left', () => {
    const { settlement, provenEmpty } = lastOf(afterTen, poll(12n, ['3/1'], [12n]), poll(12n, [], [12n]))

    expect(settlement).toMatchObject({ settled: 12n, mark: 12n })
    expect(provenEmpty).toEqual([{ from: 11n, to: 11n }])
  })

  test('settles an idle tail that rolled back, without moving the mark onto it', () => {
    const { settlement, provenEmpty, gaps } = lastOf(afterTen, poll(13n, [], [11n]))

    expect(settlement).toMatchObject({ settled: 13n, mark: 11n })
    expect(provenEmpty).toEqual([{ from: 12n, to: 13n }])
    expect(gaps).toEqual([])
  })

  test('bounds a holder by the last poll that did not find it, not by the one that did', () => {
    const { settlement } = lastOf(afterTen, poll(20n, [], []), poll(30n, ['3/1'], []))

    expect(settlement.holderBounds.get('3/1')).toBe(20n)
    expect(settlement).toMatchObject({ settled: 20n, bound: 20n })
  })

  test('keeps the bound of a holder for as long as it is found', () => {
    const found = poll(30n, ['3/1'], [])
    const { settlement } = lastOf(
      afterTen,
      found,
      { ...found, lastHandedOut: 40n },
      { ...found, lastHandedOut: 50n },
    )

    expect(settlement).toMatchObject({ settled: 10n, bound: 10n })
  })

  test('is held up by the oldest holder only', () => {
    const { settlement } = lastOf(
      afterTen,
      poll(20n, ['3/1'], []),
      poll(30n, ['3/1', '4/1'], []),
      poll(40n, ['4/1', '5/1'], []),
    )

    expect(settlement).toMatchObject({ settled: 20n, bound: 20n })
  })

  test('knows nothing of a holder that the first poll finds: it may have any number', () => {
    const first = lastOf(startSettlement(undefined), poll(10n, ['3/1'], [9n, 10n]))
    const second = lastOf(first.settlement, poll(10n, [], [8n, 9n, 10n]))

    expect(first.settlement).toMatchObject({ settled: undefined, mark: undefined })
    expect(second.settlement).toMatchObject({ settled: 10n, mark: 10n })
  })

  test('counts nothing as proven empty, or as a gap, from the floor', () => {
    const { provenEmpty, gaps } = lastOf(startSettlement(undefined), poll(10n, ['3/1'], [10n]))

    expect(provenEmpty).toEqual([])
    expect(gaps).toEqual([])
  })

  test('takes 0 and negatives for ordinary positions', () => {
    const [waiting, done] = settleAll(startSettlement(-3n), [
      poll(0n, ['3/1'], [-2n, 0n]),
      poll(0n, [], [-2n, 0n]),
    ])

    expect(waiting?.settlement).toMatchObject({ settled: -2n, mark: -2n })
    expect(waiting?.gaps).toEqual([{ from: -1n, to: -1n }])
    expect(done?.settlement).toMatchObject({ settled: 0n, mark: 0n })
    expect(done?.provenEmpty).toEqual([{ from: -1n, to: -1n }])
  })

  test('does not take the floor for 0 when the sequence is below it', () => {
    const { settlement } = lastOf(startSettlement(undefined), poll(-1n, ['3/1'], [-1n]))

    expect(settlement).toMatchObject({ settled: undefined, bound: undefined })
  })

  test('gives a prepared holder that a restart recovered the previous bound, since it may be any of those before', () => {
    const { settlement } = lastOf(afterTen, poll(20n, ['3/1'], []), poll(30n, ['-1/755'], []))

    expect(settlement.holderBounds.get('-1/755')).toBe(10n)
    expect(settlement.settled).toBe(10n)
  })

  test('knows what is empty up to the end of the window, also where no row is visible there', () => {
    const { settlement, provenEmpty, gaps, markNeedsLookup } = lastOf(afterTen, poll(90n, [], [12n], 20n))
    expect(provenEmpty).toEqual([
      { from: 11n, to: 11n },
      { from: 13n, to: 20n },
    ])
    expect({ settled: settlement.settled, gaps, markNeedsLookup }).toEqual({
      settled: 90n,
      gaps: [],
      markNeedsLookup: true,
    })
    expect(lastOf(afterTen, poll(90n, ['3/1'], [], 20n)).gaps).toEqual([{ from: 11n, to: 20n }])
  })

  test('proves nothing empty beyond the last row of a full window', () => {
    const { settlement, provenEmpty, markNeedsLookup } = lastOf(afterTen, poll(90n, [], [12n, 14n], 14n))

    expect(provenEmpty).toEqual([
      { from: 11n, to: 11n },
      { from: 13n, to: 13n },
    ])
    expect(settlement).toMatchObject({ settled: 90n, mark: 14n })
    expect(markNeedsLookup).toBe(true)
    expect(withMark(settlement, 88n).mark).toBe(88n)
  })

  test('needs no lookup of the mark while the window reaches beyond settled', () => {
    const { settlement, markNeedsLookup } = lastOf(afterTen, poll(90n, ['3/1'], [11n, 14n], 14n))

    expect(settlement).toMatchObject({ settled: 11n, mark: 11n })
    expect(markNeedsLookup).toBe(false)
  })

  test('never lets settled and mark move backwards, also when the marked row is deleted', () => {
    const ahead = lastOf(afterTen, poll(12n, ['3/1'], [11n, 12n])).settlement
    const { settlement } = lastOf(ahead, poll(12n, ['3/1'], []))

    expect(ahead).toMatchObject({ settled: 12n, mark: 12n, bound: 10n })
    expect(settlement).toMatchObject({ settled: 12n, mark: 12n, bound: 10n })
    expect(withMark(settlement, 10n).mark).toBe(12n)
  })
})
