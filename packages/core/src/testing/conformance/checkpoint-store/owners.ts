import { wholeUnit } from '../../../ports/unit.ts'
import { codeOf, expectCode, expectEqual, within } from '../expectations.ts'
import {
  type CheckpointStoreRule,
  CONFLICT,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owners,
  SOURCE,
} from './fixture.ts'

/** Two daemons with the same projection: compare-and-set, and locks where there are any. */
export const OWNER_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a checkpoint that another owner has moved is not moved from where it was',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await one.advance(move(undefined, '3'), noWork)
      await expectCode(
        two.advance(move(undefined, '5'), noWork),
        CONFLICT,
        'an advance from where it was first',
      )
      await one.advance(move('3', '4'), noWork)
      await expectCode(two.advance(move('3', '5'), noWork), CONFLICT, 'an advance from where it was last')
      await expectCode(two.advance(move('9', '10'), noWork), CONFLICT, 'an advance from where it never was')
      await expectPosition(two, '4', 'the checkpoint, for the owner that was too late')
      await two.advance(move('4', '5'), noWork)
      await expectPosition(one, '5', 'the checkpoint after the other owner has read it again')
    },
  },
  {
    name: 'of owners that move a checkpoint at the same time one does, and the others meet a conflict',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      let from: string | undefined
      for (let round = 1; round <= 5; round++) {
        const to = [one, two, one].map((_, n) => `${round}${n}`)
        const moves = [one, two, one].map((store, n) =>
          store.advance(move(from, to[n] ?? ''), () => new Promise((resolve) => setImmediate(resolve))),
        )
        const outcomes = await within(Promise.allSettled(moves), 'owners that advance at the same time')
        const won = to.filter((_, n) => outcomes[n]?.status === 'fulfilled')
        const lost = outcomes.flatMap((outcome) =>
          outcome.status === 'rejected' ? [codeOf(outcome.reason)] : [],
        )
        expectEqual(won.length, 1, 'how many of three owners have moved the checkpoint')
        expectEqual(lost, [CONFLICT, CONFLICT], 'the codes of what the others met')
        from = won[0]
        await expectPosition(two, from, 'the checkpoint')
      }
    },
  },
  {
    name: 'an owner that is too late does no work',
    needs: 'locks',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await one.advance(move(undefined, '3'), noWork)
      let worked = false
      const late = two.advance(move(undefined, '5'), async () => {
        worked = true
      })
      await expectCode(late, CONFLICT, 'an advance from where it was')
      expectEqual(worked, false, 'whether the late owner has done the work')
    },
  },
  {
    name: 'while one owner works another is turned away at once, without work',
    needs: 'locks',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      let worked = false
      await one.advance(move(undefined, '3'), async () => {
        const second = two.advance(move(undefined, '3'), async () => {
          worked = true
        })
        await expectCode(second, CONFLICT, 'an advance while another owner works')
      })
      expectEqual(worked, false, 'whether the second owner has done the work')
      await expectPosition(two, '3', 'the checkpoint of the first owner')
    },
  },
  {
    name: 'a checkpoint can be read while its owner works',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      await one.advance(move(undefined, '3'), async () => {
        await expectPosition(two, undefined, 'the checkpoint while its owner works')
        await within(two.progress(SOURCE, never()), 'reading the progress while an owner works')
      })
    },
  },
  {
    name: 'projections advance at the same time, and do not wait for each other',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      const second = wholeUnit('second')
      await two.open(second, FIRST, never())
      await one.advance(move(undefined, '3'), async () => {
        const advancing = two.advance(move(undefined, '8', { unit: second }), noWork)
        await within(advancing, 'an advance while another projection works')
      })
      await expectPosition(two, '3', 'the checkpoint of the first projection')
      await expectPosition(one, '8', 'the checkpoint of the second projection', second)
    },
  },
]
