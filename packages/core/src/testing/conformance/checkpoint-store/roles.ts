import type { Role } from '../../../ports/stored-unit.ts'
import { type Unit, wholeUnit } from '../../../ports/unit.ts'
import { expectCode, expectEqual } from '../expectations.ts'
import { controlOf } from './control.ts'
import { ALL, type CheckpointStoreRule, FIRST, move, never, noWork, owner, owners } from './fixture.ts'

const NEEDS = 'follows_operators'
const SECOND: Unit = wholeUnit('all', 2)
const BY = { who: 'ada', why: 'a new layout' }

/** Which version of a projection is live. */
export const ROLE_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'the first version of a projection is live, and later ones are beside it, in whatever order they are opened again',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const roles: Role[] = []
      for (const unit of [SECOND, ALL, wholeUnit('another', 2), wholeUnit('another'), SECOND]) {
        roles.push((await other.open(unit, FIRST, never())).role)
      }
      expectEqual(roles, ['beside', 'live', 'live', 'beside', 'beside'], 'the roles')
      const units = await controlOf(store).units({ projection: 'all' }, never())
      expectEqual(
        units.map(({ unit, role }) => `${unit.version} ${role}`).sort(),
        ['1 live', '2 beside'],
        'the roles as they are stored',
      )
    },
  },
  {
    name: 'of two versions that are opened at once by two owners one is live',
    needs: NEEDS,
    check: async (fixture) => {
      const [first, second] = [await owner(fixture), await owner(fixture)]
      for (let n = 0; n < 10; n++) {
        const name = `projection ${n}`
        const opened = await Promise.all([
          first.open(wholeUnit(name, 1), FIRST, never()),
          second.open(wholeUnit(name, 2), FIRST, never()),
        ])
        expectEqual(opened.map(({ role }) => role).sort(), ['beside', 'live'], 'the roles')
      }
    },
  },
  {
    name: 'each version moves by itself, and the audit keeps what role one had before and after',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await store.open(SECOND, FIRST, never())
      await store.advance(move(undefined, '9'), noWork)
      await store.advance(move(undefined, '3', { unit: SECOND }), noWork)
      const entry = await controlOf(other).change(
        SECOND,
        (found) =>
          found && { operation: 'retire', ...BY, to: { ...found, role: 'retired', desired: 'paused' } },
        { timeoutMs: 10_000, signal: never() },
      )
      expectEqual(
        [entry?.before.role, entry?.after?.role, entry?.after?.position],
        ['beside', 'retired', '3'],
        'what the audit says',
      )
      expectEqual((await store.open(SECOND, FIRST, never())).role, 'retired', 'the role of a retired version')
      const advancing = store.advance(move('3', '4', { unit: SECOND }), noWork)
      await expectCode(advancing, 'TIDEMARK_PROJECTION_PAUSED', 'an advance of a retired version')
      await store.advance(move('9', '10'), noWork)
    },
  },
]
