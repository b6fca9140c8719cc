import type { StoredProgress } from '../../../ports/event-source.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { expectEqual } from '../expectations.ts'
import { expectMistakesCount, expectTotal } from '../transience.ts'
import {
  type CheckpointStoreRule,
  EVIDENCE,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
  settledOf,
} from './fixture.ts'

/** `progress`, `settled`, `sharesLogWith`, `isTransient`. */
export const PROGRESS_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'progress lists the checkpoints of a source where they stand, and of no other',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      expectEqual(await store.progress(SOURCE, never()), [], 'the progress of a source that there is none of')
      for (const [projection, source] of [
        ['one', SOURCE],
        ['two', SOURCE],
        ['elsewhere', 'other events'],
      ] as const) {
        await store.open(wholeUnit(projection), { ...FIRST, source: source }, never())
        await store.advance(move(undefined, '3', { unit: wholeUnit(projection), source }), noWork)
      }
      await store.advance(move('3', '12', { unit: wholeUnit('two') }), noWork)
      expectEqual(
        checkpointsIn(await other.progress(SOURCE, never())),
        [
          ['one', '3'],
          ['two', '12'],
        ],
        'the checkpoints of the source',
      )
      expectEqual(
        checkpointsIn(await other.progress('other events', never())),
        [['elsewhere', '3']],
        'those of another source',
      )
    },
  },
  {
    name: 'a checkpoint is stored with the evidence that it rests on',
    needs: 'remembers_settled',
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      const later = { incarnation: 'another run', settled: undefined, logPosition: undefined }
      expectEqual(
        evidenceIn(await other.progress(SOURCE, never())),
        [EVIDENCE],
        'the evidence of the checkpoint',
      )
      await store.advance(move('3', '4', { evidence: later }), noWork)
      expectEqual(
        evidenceIn(await other.progress(SOURCE, never())),
        [later],
        'the evidence of the checkpoint that was moved on',
      )
    },
  },
  {
    name: 'a settled position is stored alone, the last one of each source, and moves no checkpoint',
    needs: 'remembers_settled',
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.advance(move(undefined, '3'), noWork)
      await settledOf(store).save(SOURCE, { ...EVIDENCE, settled: '10' }, never())
      await settledOf(other).save(SOURCE, { ...EVIDENCE, settled: '11', incarnation: 'another run' }, never())
      await settledOf(store).save('other events', { ...EVIDENCE, settled: '77' }, never())
      const alone = (await store.progress(SOURCE, never())).filter(({ unit }) => unit === undefined)
      expectEqual(
        alone.map(({ position, settled, incarnation, logPosition }) => ({
          position,
          settled,
          incarnation,
          logPosition,
        })),
        [
          {
            position: undefined,
            settled: '11',
            incarnation: 'another run',
            logPosition: EVIDENCE.logPosition,
          },
        ],
        'the settled position that is stored for the source',
      )
      await expectPosition(store, '3', 'the checkpoint')
    },
  },
  {
    name: 'a store shares no log with a source that it does not know',
    check: async (fixture) => {
      const store = await owner(fixture)
      for (const incarnation of [EVIDENCE.incarnation, '', '/', '1/2/3/4/5/6', 'x'.repeat(500)]) {
        expectEqual(
          await store.sharesLogWith(incarnation, never()),
          false,
          `sharesLogWith(${JSON.stringify(incarnation)})`,
        )
      }
    },
  },
  {
    name: 'isTransient answers for any value, and never throws',
    check: (fixture) => expectTotal(fixture.open()),
  },
  {
    name: 'isTransient does not take the mistake of a handler for a passing fault',
    check: (fixture) => expectMistakesCount(fixture.open()),
  },
]

function checkpointsIn(
  progress: readonly StoredProgress<string>[],
): (readonly [string, string | undefined])[] {
  return progress
    .flatMap(({ unit, position }) => (unit === undefined ? [] : [[unit.projection, position] as const]))
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

function evidenceIn(progress: readonly StoredProgress<string>[]): unknown[] {
  return progress
    .filter(({ unit }) => unit !== undefined)
    .map(({ incarnation, settled, logPosition }) => ({ incarnation, settled, logPosition }))
}
