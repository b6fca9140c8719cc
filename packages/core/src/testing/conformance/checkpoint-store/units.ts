import { STORE_CAPABILITIES } from '../../../ports/capabilities.ts'
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

const HALF: Unit = { ...ALL, slots: { from: 0, to: 511 } }
const OTHER_HALF: Unit = { ...ALL, slots: { from: 512, to: 1_023 } }
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
    name: 'versions and ranges of slots of one projection have checkpoints of their own',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      const units = [ALL, NEXT_VERSION, HALF, OTHER_HALF]
      for (const unit of units) await store.open(unit, FIRST, never())
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
      const told = async (projection: string, version: number): Promise<unknown> => {
        const found = await other.progressOf?.(projection, version, never())
        return found && [describe(found.unit), found.source, found.position, found.role]
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
