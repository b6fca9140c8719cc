import { STORE_CAPABILITIES } from '../../../ports/capabilities.ts'
import type { FirstStart } from '../../../ports/checkpoint-store.ts'
import { type Unit, wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, expectThat, rejectionOf } from '../expectations.ts'
import {
  ALL,
  type CheckpointStoreRule,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owner,
  SOURCE,
} from './fixture.ts'

const HALF: Unit = { ...ALL, projection: 'halves', slots: { from: 0, to: 511 } }
const OTHER_HALF: Unit = { ...HALF, slots: { from: 512, to: 1_023 } }
const IN_HALVES: FirstStart = { ...FIRST, shards: [HALF.slots, OTHER_HALF.slots] }
const NEXT_VERSION: Unit = { ...ALL, version: 2 }

/** `open`, `read`, `list`, `progressOf`: each unit has a checkpoint of its own. */
export const UNIT_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'the store has the optional parts of the capabilities that are named, and no others',
    check: async (fixture, capabilities) => {
      const store = fixture.open()
      for (const [capability, { port }] of Object.entries(STORE_CAPABILITIES)) {
        const isNamed = capabilities.some((name) => name === capability)
        expectEqual(store[port] !== undefined, isNamed, `whether the store has \`${port}\` (${capability})`)
      }
    },
  },
  {
    name: 'reading and listing make no checkpoint',
    check: async (fixture) => {
      const store = await owner(fixture)
      for (const time of ['first', 'second']) {
        expectEqual(await store.read(ALL, never()), undefined, `what the ${time} read of a new unit finds`)
        expectEqual(await store.list({}, never()), [], `what the ${time} list finds in an empty store`)
      }
      expectEqual(await store.progress(SOURCE, never()), [], 'the progress of the source')
    },
  },
  {
    name: 'versions and shards of one projection have checkpoints of their own',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      const units = [ALL, NEXT_VERSION, HALF, OTHER_HALF]
      for (const unit of [ALL, NEXT_VERSION]) await store.open(unit, FIRST, never())
      for (const unit of [HALF, OTHER_HALF]) await store.open(unit, IN_HALVES, never())
      for (const [n, unit] of units.entries()) await store.advance(move(undefined, `${n}`, { unit }), noWork)
      await other.advance(move('2', '20', { unit: HALF }), noWork)
      for (const [unit, position] of [
        [ALL, '0'],
        [NEXT_VERSION, '1'],
        [HALF, '20'],
        [OTHER_HALF, '3'],
      ] as const) {
        await expectPosition(other, position, `the checkpoint of ${describe(unit)}`, unit)
      }
      const stored = (await other.progress(SOURCE, never())).flatMap(({ unit }) => unit ?? [])
      expectEqual(stored.map(describe).sort(), units.map(describe).sort(), 'the units that progress lists')
    },
  },
  {
    name: 'the first shard that is opened makes all of them, at once, and the projection stays in these',
    needs: 'follows_operators',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      await Promise.all([store.open(HALF, IN_HALVES, never()), other.open(OTHER_HALF, IN_HALVES, never())])
      const stored = async (): Promise<string[]> =>
        (await other.list({ projection: HALF.projection }, never()))
          .map(({ unit, position }) => `${describe(unit)} at ${position}`)
          .sort()
      const halves = [HALF, OTHER_HALF].map((unit) => `${describe(unit)} at undefined`)
      expectEqual(await stored(), halves, 'what is stored once one of two shards was opened')
      const whole = { ...HALF, slots: ALL.slots }
      const quarter = { ...HALF, slots: { from: 0, to: 255 } }
      const inThree = [quarter.slots, { from: 256, to: 511 }, OTHER_HALF.slots]
      for (const [unit, first] of [
        [whole, FIRST],
        [quarter, { ...FIRST, shards: inThree }],
      ] as const) {
        const error = await rejectionOf(
          store.open(unit, first, never()),
          `opening ${describe(unit)} among other shards`,
        )
        expectThat(
          error instanceof Error && 'code' in error && error.code === 'TIDEMARK_SHARDS_STORED',
          'it is a ShardsStoredError',
          error,
        )
      }
      expectEqual(await stored(), halves, 'what is stored after that')
    },
  },
  {
    name: 'a projection in one shard is not opened in several, nor in several by two at once',
    needs: 'follows_operators',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      await store.open(ALL, FIRST, never())
      const late = await rejectionOf(
        other.open({ ...ALL, slots: HALF.slots }, IN_HALVES, never()),
        'opening a shard of what is in one',
      )
      const isStored = (error: unknown): boolean =>
        error instanceof Error && 'code' in error && error.code === 'TIDEMARK_SHARDS_STORED'
      expectThat(isStored(late), 'it is a ShardsStoredError', late)
      for (let n = 0; n < 5; n++) {
        const projection = `projection ${n}`
        const both = await Promise.allSettled([
          store.open({ ...ALL, projection }, FIRST, never()),
          other.open({ ...HALF, projection }, IN_HALVES, never()),
        ])
        const stored = (await store.list({ projection }, never())).map(
          ({ unit }) => unit.slots.to - unit.slots.from + 1,
        )
        expectEqual(
          stored.reduce((sum, slots) => sum + slots, 0),
          1_024,
          'the slots of what two have opened at once in other shards',
        )
        expectEqual(
          both.filter(({ status }) => status === 'fulfilled').length,
          1,
          'how many of the two have opened it',
        )
      }
    },
  },
  {
    name: 'list gives every unit where it stands, or those of a source or a projection',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      const second = wholeUnit('second')
      const elsewhere = wholeUnit('elsewhere')
      for (const [unit, source] of [
        [ALL, SOURCE],
        [NEXT_VERSION, SOURCE],
        [second, SOURCE],
        [elsewhere, 'other events'],
      ] as const) {
        await store.open(unit, { ...FIRST, source }, never())
        await store.advance(move(undefined, '3', { unit, source }), noWork)
      }
      const listed = async (filter: Parameters<typeof store.list>[0]): Promise<string[]> =>
        (await other.list(filter, never()))
          .map(({ unit, source, position }) => `${describe(unit)} of ${source} at ${position}`)
          .sort()
      const line = (unit: Unit, source = SOURCE): string => `${describe(unit)} of ${source} at 3`
      const ofSource = [line(ALL), line(NEXT_VERSION), line(second)].sort()
      expectEqual(await listed({}), [...ofSource, line(elsewhere, 'other events')].sort(), 'every unit')
      expectEqual(await listed({ source: SOURCE }), ofSource, 'the units of the source')
      expectEqual(
        await listed({ projection: 'all' }),
        [line(ALL), line(NEXT_VERSION)].sort(),
        'the units of the projection',
      )
      expectEqual(await listed({ projection: 'all', source: 'other events' }), [], 'those of both')
    },
  },
  {
    name: 'what the store tells of a version alone, if it does, is what is stored of it, and makes no checkpoint',
    check: async (fixture, capabilities) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      if (other.progressOf === undefined) return
      const allTold = async (projection: string, version: number): Promise<readonly unknown[]> =>
        ((await other.progressOf?.(projection, version, never())) ?? []).map(
          ({ unit, source, position, role }) => [describe(unit), source, position, role],
        )
      const told = async (projection: string, version: number): Promise<unknown> => {
        const found = await allTold(projection, version)
        return found.length > 1 ? found : found[0]
      }
      expectEqual(await told('all', 1), undefined, 'what is told where nothing is stored')
      expectEqual(await store.list({}, never()), [], 'what is stored after that was asked')
      for (const unit of [ALL, NEXT_VERSION]) await store.open(unit, FIRST, never())
      await store.advance(move(undefined, '3'), noWork)
      const later = capabilities.includes('follows_operators') ? 'beside' : 'live'
      expectEqual(await told('all', 1), [describe(ALL), SOURCE, '3', 'live'], 'what is told of the first')
      expectEqual(
        await told('all', 2),
        [describe(NEXT_VERSION), SOURCE, undefined, later],
        'what is told of a version that has nothing processed',
      )
      expectEqual(await told('all', 3), undefined, 'what is told of a version that is not stored')
      expectEqual(await told('second', 1), undefined, 'what is told of another projection')
      await store.advance(move(undefined, '5', { unit: NEXT_VERSION }), noWork)
      expectEqual(
        await told('all', 2),
        [describe(NEXT_VERSION), SOURCE, '5', later],
        'what is told of a version that has moved',
      )
      if (!capabilities.includes('follows_operators')) return
      await store.open(OTHER_HALF, IN_HALVES, never())
      await store.advance(move(undefined, '7', { unit: OTHER_HALF }), noWork)
      expectEqual(
        [...(await allTold('halves', 1))].map(String).sort(),
        [
          [describe(HALF), SOURCE, undefined, 'live'],
          [describe(OTHER_HALF), SOURCE, '7', 'live'],
        ].map(String),
        'what is told of a projection in two shards',
      )
    },
  },
  {
    name: 'a checkpoint of another source is not opened, and stays as it is',
    check: async (fixture) => {
      const store = await owner(fixture)
      await store.open(ALL, FIRST, never())
      await store.advance(move(undefined, '3'), noWork)
      const opening = store.open(ALL, { ...FIRST, source: 'other events' }, never())
      const error = await rejectionOf(opening, 'opening the checkpoint of another source')
      expectThat(
        error instanceof Error && 'code' in error && error.code === 'TIDEMARK_PROJECTION_SOURCE',
        'it is a ProjectionSourceError',
        error,
      )
      await expectPosition(store, '3', 'the checkpoint')
    },
  },
]

function describe({ projection, version, slots }: Unit): string {
  return `${projection}, version ${version}, slots ${slots.from} to ${slots.to}`
}
