import { wholeUnit } from '../../../ports/unit.ts'
import { expectCode, expectEqual } from '../expectations.ts'
import {
  type CheckpointStoreRule,
  CONFLICT,
  expectPosition,
  FIRST,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
} from './fixture.ts'

/** What a parser, a quoting, a number or a limited column would change. */
const ODD_TEXTS: readonly string[] = [
  '0',
  '-1',
  '007',
  '9007199254740993',
  '18446744073709551615/18446744073709551614',
  'C:12/P:12',
  ' spaces around ',
  `it's "quoted" \`so\` \\ and \\' so`,
  'null',
  '%s $1 ?; -- /* { } [ ]',
  'line\nbreak\ttab',
  'Grüße, 位置 🌊',
  'x'.repeat(1_000),
]

const ODD_NAMES: readonly string[] = [
  'orders',
  'Orders',
  'orders ',
  'orders-v2',
  'orders/by customer',
  'orders_%',
  `o'rders "quoted" \\`,
  '$orders',
  '__proto__',
  'constructor',
  'Bestellungen für 顧客 🌊',
  'n'.repeat(200),
]

/** Positions and names are texts, and nothing else. */
export const TEXT_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a position is kept as the text that it is',
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      let from: string | undefined
      for (const to of ODD_TEXTS) {
        expectEqual(
          (await store.advance(move(from, to), noWork)).position,
          to,
          'the position that advance resolves with',
        )
        await expectPosition(other, to, 'the position that is read')
        from = to
      }
    },
  },
  {
    name: 'positions are compared as texts, not as numbers',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      await store.advance(move(undefined, '1'), noWork)
      for (const from of ['01', '1 ', '1.0', '+1']) {
        await expectCode(
          store.advance(move(from, '2'), noWork),
          CONFLICT,
          `an advance from "${from}", which is not "1"`,
        )
      }
      await expectPosition(store, '1', 'the checkpoint')
    },
  },
  {
    name: 'every name is a projection of its own, whatever characters it has',
    check: async (fixture) => {
      const [store, other] = [await owner(fixture), await owner(fixture)]
      for (const name of ODD_NAMES) await store.open(wholeUnit(name), FIRST, never())
      for (const [n, projection] of ODD_NAMES.entries()) {
        await store.advance(move(undefined, `${n}`, { unit: wholeUnit(projection) }), noWork)
      }
      for (const [n, name] of ODD_NAMES.entries()) {
        await expectPosition(other, `${n}`, `the checkpoint of ${JSON.stringify(name)}`, wholeUnit(name))
      }
      const stored = (await other.progress(SOURCE, never())).flatMap(({ unit }) => unit?.projection ?? [])
      expectEqual(stored.sort(), [...ODD_NAMES].sort(), 'the projections that progress lists')
    },
  },
  {
    name: 'every name is a source of its own, whatever characters it has',
    check: async (fixture) => {
      const store = await owner(fixture)
      for (const [n, source] of ODD_NAMES.entries()) {
        await store.open(wholeUnit(`projection ${n}`), { ...FIRST, source }, never())
        await store.advance(move(undefined, `${n}`, { unit: wholeUnit(`projection ${n}`), source }), noWork)
      }
      for (const [n, source] of ODD_NAMES.entries()) {
        const stored = await store.progress(source, never())
        const projections = stored.flatMap(({ unit }) => unit?.projection ?? [])
        expectEqual(
          projections,
          [`projection ${n}`],
          `the projections of the source ${JSON.stringify(source)}`,
        )
      }
    },
  },
]
