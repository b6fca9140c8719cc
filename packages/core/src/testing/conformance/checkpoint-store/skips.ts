import type { Advanced } from '../../../ports/checkpoint-store.ts'
import type { SkipTotals } from '../../../ports/stored-unit.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, rejectionOf } from '../expectations.ts'
import {
  ALL,
  type CheckpointStoreRule,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
  skipsOf,
} from './fixture.ts'

const NEEDS = 'counts_skips'
/** 5 and 6, then 9 were passed without proof. */
const RUNS = [
  { stored: '4', current: '7', count: 2n },
  { stored: '8', current: '10', count: 1n },
]

/** `skips`, and how `advance` counts what it crosses. */
export const SKIP_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a skipped run is counted by the advance that crosses it, and not again',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await skipsOf(store).record(SOURCE, RUNS, never())
      const moves = [
        await store.advance(move(undefined, '6'), noWork),
        await store.advance(move('6', '7'), noWork),
        await other.advance(move('7', '10'), noWork),
        await other.advance(move('10', '20'), noWork),
      ]
      expectEqual(
        moves.map(crossedBy),
        [[], [['7', 2n]], [['10', 1n]], []],
        'the runs that each advance has crossed',
      )
      const totals = moves.map(({ skipped }) => totalOf(skipped))
      expectEqual(totals, [0n, 2n, 3n, 3n], 'the totals after each advance')
      const { skipped } = await store.open(ALL, FIRST, never())
      expectEqual(skipped.stale_high_water_mark, 3n, 'the total under the reason stale_high_water_mark')
    },
  },
  {
    name: 'a run that several daemons record is one run, also where they saw it begin in different places',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await skipsOf(one).record(SOURCE, RUNS.slice(0, 1), never())
      await skipsOf(two).record(SOURCE, RUNS.slice(0, 1), never())
      // From 5 to 10 without 6, 7 and 9; of which 7 is where the other run ended.
      await skipsOf(two).record(SOURCE, [{ stored: '5', current: '10', count: 4n }], never())
      const advanced = await one.advance(move(undefined, '10'), noWork)
      expectEqual(
        crossedBy(advanced),
        [
          ['7', 2n],
          ['10', 2n],
        ],
        'the runs that the advance has crossed: what was already passed is left out',
      )
    },
  },
  {
    name: 'each projection counts the runs that it crosses, those of its own source alone',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      await store.open(wholeUnit('second'), FIRST, never())
      await store.open(wholeUnit('elsewhere'), { ...FIRST, source: 'other events' }, never())
      await skipsOf(store).record(SOURCE, RUNS, never())
      const totals: bigint[] = []
      for (const more of [
        {},
        { unit: wholeUnit('second') },
        { unit: wholeUnit('elsewhere'), source: 'other events' },
      ]) {
        totals.push(totalOf((await store.advance(move(undefined, '50', more), noWork)).skipped))
      }
      expectEqual(totals, [3n, 3n, 0n], 'the totals of two projections, and of one of another source')
    },
  },
  {
    name: 'what lay below the head when a projection first started counts as a historical gap',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      await store.open(ALL, { ...FIRST, head: '8' }, never())
      await skipsOf(store).record(SOURCE, RUNS, never())
      await store.advance(move(undefined, '2'), noWork)
      // The head at the start of a later process does not matter.
      await other.open(ALL, { ...FIRST, head: '30' }, never())
      await other.advance(move('2', '30'), noWork)
      const { skipped } = await store.open(ALL, FIRST, never())
      expectEqual(
        { historical: skipped.historical_gap, stale: skipped.stale_high_water_mark },
        { historical: 2n, stale: 1n },
        'the totals by reason',
      )
    },
  },
  {
    name: 'an advance whose work fails counts nothing',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      await skipsOf(store).record(SOURCE, RUNS, never())
      const failing = store.advance(move(undefined, '30'), async () => {
        throw new Error('the handler failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      const stored = await expectPosition(store, undefined, 'the checkpoint after work that failed')
      expectEqual(totalOf(stored?.skipped ?? {}), 0n, 'the total after work that failed')
      expectEqual(
        totalOf((await store.advance(move(undefined, '30'), noWork)).skipped),
        3n,
        'the total in the end',
      )
    },
  },
]

function crossedBy({ crossed }: Advanced): (readonly [string, bigint])[] {
  return crossed.map(({ current, count }) => [current, count] as const)
}

function totalOf(skipped: SkipTotals): bigint {
  return Object.values(skipped).reduce((sum, count) => sum + (count ?? 0n), 0n)
}
