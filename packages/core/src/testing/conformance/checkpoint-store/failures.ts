import { setTimeout as delay } from 'node:timers/promises'
import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import type { Failures, NewFailure, UnitFailure } from '../../../ports/failures.ts'
import { slotRanges } from '../../../ports/slot.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, expectThat, within } from '../expectations.ts'
import { needed } from '../suite.ts'
import { controlOf } from './control.ts'
import { ALL, type CheckpointStoreRule, FIRST, move, never, noWork, owner, owners } from './fixture.ts'
import { claim, nodes } from './leases.ts'

const NEEDS = 'keeps_failures'
const LIMITS = { timeoutMs: 10_000, signal: never() }
const BY = { who: 'ann', why: 'it is not wanted any more' }

export const FAILURE: NewFailure = {
  unit: ALL,
  position: undefined,
  stage: 'handle',
  batch: { firstPosition: '7', lastPosition: '9', events: 2, eventTypes: [`Order"Placed'`, 'back\\slash'] },
  error: {
    name: 'TypeError',
    message: `it's \\ "odd" \u0000 \ud800`,
    code: 'ODD',
    stack: 'TypeError: odd\n    at handle',
    cause: { name: 'Error', message: 'why' },
  },
  isPaused: false,
  node: 'node/1',
  failures: 1,
}
/** As another process tells it, of other events and another error. */
const ANOTHER: NewFailure = {
  ...FAILURE,
  stage: 'read',
  batch: undefined,
  error: { name: 'Error', message: 'another' },
  isPaused: true,
  node: 'node/2',
  failures: 3,
}

export function failuresOf<Tx>(store: CheckpointStore<Tx>): Failures {
  return needed(store.failures, 'failures', NEEDS)
}

/** Those of `ALL`. */
async function kept<Tx>(store: CheckpointStore<Tx>): Promise<UnitFailure | undefined> {
  const [failure, ...others] = await within(
    failuresOf(store).list({ projection: ALL.projection }, never()),
    'listing failures',
  )
  expectEqual(others, [], 'what else is kept of the unit')
  return failure
}

/** Without what the store itself adds. */
function told(failure: Omit<NewFailure, 'failures'> | undefined) {
  if (failure === undefined) return undefined
  const { unit, position, stage, batch, error, isPaused, node } = failure
  return { unit, position, stage, batch, error, isPaused, node }
}

/** What failed last at a unit. */
export const FAILURE_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'what fails at a unit is kept with all that is known of it, until its checkpoint moves',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      expectEqual(await kept(two), undefined, 'what is kept where nothing has failed')
      await failuresOf(one).tell(FAILURE, never())
      expectEqual(told(await kept(two)), told(FAILURE), 'what another process is told')
      await one.advance(move(undefined, '5'), noWork)
      expectEqual(await kept(two), undefined, 'what is kept once the checkpoint has moved')
      const later = { ...ANOTHER, position: '5' }
      await failuresOf(one).tell(later, never())
      expectEqual(told(await kept(two)), told(later), 'what is told of where it stands now')
    },
  },
  {
    name: 'failures at one checkpoint add up, whoever tells of them, and begin anew at another',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await failuresOf(one).tell(FAILURE, never())
      const first = await kept(one)
      await delay(5)
      await failuresOf(two).tell(ANOTHER, never())
      const second = await kept(one)
      expectEqual(told(second), told(ANOTHER), 'what was told last')
      expectEqual(second?.failures, 4, 'how often it has failed')
      expectEqual(second?.sinceMs, first?.sinceMs, 'since when it fails')
      expectThat((second?.atMs ?? 0) > (first?.atMs ?? 0), 'it says when it was told last', second)
      expectThat((first?.sinceMs ?? 0) > 1_600_000_000_000, 'it says since when it fails', first)
      await one.advance(move(undefined, '5'), noWork)
      await failuresOf(one).tell({ ...FAILURE, position: '5' }, never())
      const third = await kept(two)
      expectEqual(third?.failures, 1, 'how often it has failed at another checkpoint')
      expectThat((third?.sinceMs ?? 0) > (first?.sinceMs ?? 0), 'it fails there since later', third)
    },
  },
  {
    name: 'nothing is told of a unit that stands elsewhere by now, or is not there',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await one.advance(move(undefined, '5'), noWork)
      await failuresOf(two).tell(FAILURE, never())
      await failuresOf(two).tell({ ...FAILURE, unit: wholeUnit('another') }, never())
      const listed = await failuresOf(one).list({}, never())
      expectEqual(listed, [], 'what is kept of a checkpoint that has moved on, and of none')
      await failuresOf(one).tell({ ...FAILURE, position: '5' }, never())
      await failuresOf(two).tell(ANOTHER, never())
      expectEqual((await kept(two))?.node, FAILURE.node, 'who has told what is kept')
    },
  },
  {
    name: 'a node tells nothing of a unit of which another one has the lease',
    needs: NEEDS,
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('gives_leases')) return
      const { one, two, first, second } = await nodes(fixture)
      const [lease] = await claim(first, 'first', 0n)
      const fence = lease?.fence ?? 0n
      await failuresOf(one).tell({ ...FAILURE, fence }, never())
      expectEqual((await kept(two))?.node, FAILURE.node, 'who has told it under the newest lease')
      await first.release({ node: 'first', leases: [{ unit: ALL, fence }], signal: never() })
      const [next] = await claim(second, 'second', fence)
      await failuresOf(two).tell({ ...ANOTHER, fence: next?.fence ?? 0n }, never())
      await failuresOf(one).tell({ ...FAILURE, fence }, never())
      expectEqual((await kept(two))?.node, ANOTHER.node, 'who has told it last, under the newest lease')
    },
  },
  {
    name: 'what is over is over for the node that has told it, and is kept for any other',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await failuresOf(one).tell(FAILURE, never())
      await failuresOf(two).over(ALL, ANOTHER.node, never())
      expectEqual(
        (await kept(two))?.node,
        FAILURE.node,
        'what is kept after the end of what another has told',
      )
      await failuresOf(one).over(ALL, FAILURE.node, never())
      expectEqual(await kept(two), undefined, 'what is kept once it is over')
      await failuresOf(two).tell(ANOTHER, never())
      expectEqual((await kept(one))?.failures, 3, 'how often it has failed since then')
    },
  },
  {
    name: 'failures are told while a batch is at hand, and neither waits for the other',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await one.advance(move(undefined, '5'), async () => {
        await within(failuresOf(two).tell(FAILURE, never()), 'telling while a batch is at hand')
        await within(failuresOf(two).over(ALL, FAILURE.node, never()), 'telling that it is over')
        await within(failuresOf(two).tell(FAILURE, never()), 'telling again')
        expectEqual(told(await kept(two)), told(FAILURE), 'what is kept while the batch is at hand')
      })
      expectEqual(await kept(two), undefined, 'what is kept once it has gone well')
    },
  },
  {
    name: 'failures are listed by source and by projection, each of its own unit',
    needs: NEEDS,
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      const others = [wholeUnit(`it's`), wholeUnit(ALL.projection, 2)]
      for (const unit of others) await one.open(unit, { ...FIRST, source: `the other's` }, never())
      for (const unit of [ALL, ...others]) await failuresOf(one).tell({ ...FAILURE, unit }, never())
      const listed = async (filter: Parameters<Failures['list']>[0]) =>
        (await failuresOf(two).list(filter, never()))
          .map(({ unit }) => `${unit.projection}@${unit.version}`)
          .toSorted()
      expectEqual(await listed({}), ['all@1', 'all@2', `it's@1`], 'all that are kept')
      expectEqual(await listed({ source: `the other's` }), ['all@2', `it's@1`], 'those of a source')
      expectEqual(await listed({ projection: `it's` }), [`it's@1`], 'those of a projection')
    },
  },
  {
    name: 'of a unit that is forgotten, or a shard that is replaced, no failure is kept',
    needs: NEEDS,
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('follows_operators')) return
      const [one, two] = await owners(fixture)
      await failuresOf(one).tell(FAILURE, never())
      const forget = controlOf(two).change(
        ALL,
        (found) => found && { operation: 'forget', ...BY, to: undefined },
        LIMITS,
      )
      await within(forget, 'forgetting a unit')
      await one.open(ALL, FIRST, never())
      expectEqual(await kept(two), undefined, 'what is kept of a unit that was forgotten, and made anew')
      const { reshard } = controlOf(two)
      if (reshard === undefined) return
      const store = await owner(fixture)
      await failuresOf(store).tell(FAILURE, never())
      const into = async (count: number) => {
        await reshard.call(
          store.control,
          ALL,
          ([heir]) =>
            heir && {
              ...BY,
              slots: slotRanges(count),
              made: slotRanges(count).map((slots) => ({ slots, heirOf: heir.unit.slots, to: heir })),
            },
          LIMITS,
        )
      }
      await into(2)
      expectEqual(await kept(two), undefined, 'what is kept of the shards that were made')
      await into(1)
      expectEqual(await kept(two), undefined, 'what is kept of the one that was made anew')
    },
  },
]
