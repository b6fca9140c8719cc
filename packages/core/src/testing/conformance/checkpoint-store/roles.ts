import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import type { ControlledUnit, Fulfilment, FulfilRequest, UnitRequest } from '../../../ports/control.ts'
import type { NewDeadLetter } from '../../../ports/dead-letters.ts'
import type { Role } from '../../../ports/stored-unit.ts'
import { type Unit, wholeUnit } from '../../../ports/unit.ts'
import { expectCode, expectEqual, rejectionOf, within } from '../expectations.ts'
import { controlOf } from './control.ts'
import {
  ALL,
  type CheckpointStoreFixture,
  type CheckpointStoreRule,
  CONFLICT,
  EVIDENCE,
  FIRST,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
} from './fixture.ts'

const NEEDS = 'follows_operators'
const SECOND: Unit = wholeUnit('all', 2)
const BY = { who: 'ada', why: 'a new layout' }
const REQUEST: UnitRequest = { id: 'a switch', operation: 'switch', ...BY }
const SWITCH: FulfilRequest = {
  unit: SECOND,
  id: REQUEST.id,
  incarnation: undefined,
  liveWithinMs: 10_000,
  signal: never(),
}

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
    name: 'a version that begins together with an earlier one is beside it, whichever is opened first',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await owner(fixture)
      const later = { ...FIRST, isLaterVersion: true }
      const roles = [
        (await store.open(SECOND, later, never())).role,
        (await store.open(ALL, FIRST, never())).role,
        (await store.open(SECOND, later, never())).role,
      ]
      expectEqual(roles, ['beside', 'live', 'beside'], 'the roles')
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
  {
    name: 'a version becomes live, and the one that was is beside, in one step at one position, with both locked',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await asked(fixture)
      const stood: (string | undefined)[] = []
      const entry = await controlOf(store).fulfil(SWITCH, async (_, found, live) => {
        stood.push(found.position, live?.position)
        await expectCode(other.advance(move('9', '10'), noWork), CONFLICT, 'an advance of the live version')
        return { to: { ...found, role: 'live', position: '9' }, evidence: EVIDENCE }
      })
      expectEqual(stood, ['3', '9'], 'where the two stood')
      expectEqual(
        [entry?.before.role, entry?.after?.role, entry?.after?.position],
        ['beside', 'live', '9'],
        'what the audit says',
      )
      expectEqual(await rolesOf(other), ['1 beside', '2 live'], 'the roles after it')
      const stored = await store.progress(SOURCE, never())
      const { settled, incarnation } = stored.find(({ unit }) => unit?.version === 2) ?? {}
      expectEqual([settled, incarnation], [EVIDENCE.settled, EVIDENCE.incarnation], 'how far it was proven')
      for (const unit of [ALL, SECOND]) await other.advance(move('9', '10', { unit }), noWork)
    },
  },
  {
    name: 'where no version is named, the store tells of the live one, if it tells of one alone, whichever that is by then',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await asked(fixture)
      if (other.progressOf === undefined) return
      const told = async (): Promise<unknown> => {
        const found = (await other.progressOf?.('all', undefined, never())) ?? []
        expectEqual(found.length, 1, 'how many units are told of a projection in one shard')
        return found.flatMap(({ unit, position, role }) => [unit.version, position, role])
      }
      expectEqual(await told(), [1, '9', 'live'], 'what is told of the version that was first')
      await controlOf(store).fulfil(SWITCH, async (_, found) => ({
        to: { ...found, role: 'live', position: '9' },
        evidence: EVIDENCE,
      }))
      await other.advance(move('9', '12', { unit: SECOND }), noWork)
      expectEqual(await told(), [2, '12', 'live'], 'what is told of the version that has become live')
    },
  },
  {
    name: 'how far a version had come is kept where it is moved back or becomes live, and whoever opens it is told',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await asked(fixture)
      const back = await controlOf(store).change(
        ALL,
        (found) => found && { operation: 'move', ...BY, to: { ...found, position: '2', furthest: '9' } },
        { timeoutMs: 10_000, signal: never() },
      )
      expectEqual([back?.before.furthest, back?.after?.furthest], [undefined, '9'], 'what the audit says')
      expectEqual((await other.open(ALL, FIRST, never())).furthest, '9', 'what whoever opens it is told')
      const told: unknown[] = []
      await store.advance(move('2', '3'), async (_, locked) => void told.push(locked?.role, locked?.furthest))
      await store.advance(move('3', '4', { unit: SECOND }), async (_, locked) => {
        told.push(locked?.role, locked?.furthest)
      })
      expectEqual(told, ['live', '9', 'beside', undefined], 'what the work of an advance is told')
      await controlOf(other).fulfil(SWITCH, async (_, found, live) => ({
        to: { ...found, role: 'live', furthest: live?.furthest },
      }))
      const units = await controlOf(store).units({ projection: 'all' }, never())
      expectEqual(
        units.map(({ unit, position, furthest }) => `${unit.version} ${position} ${furthest}`).sort(),
        ['1 3 9', '2 4 9'],
        'where both stand, and how far they had come',
      )
    },
  },
  {
    name: 'dead letters that a switch hands over are those of the other version, with the switch, or not at all',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await asked(fixture)
      const { deadLetters } = store
      if (deadLetters === undefined) return
      const ofVersion = async (version: number): Promise<readonly string[]> => {
        const letters = await deadLetters.list({ version, state: 'open' }, { limit: 10 }, never())
        return letters.map(({ firstPosition, key }) => `${firstPosition} ${key}`)
      }
      const buryAt = async (from: string, at: string, key: string): Promise<void> => {
        await store.advance(move(from, at), (tx) => deadLetters.bury(tx, ALL, letterAt(at, key)))
      }
      await buryAt('9', '10', 'a')
      await buryAt('10', '11', 'b')
      const [closed] = await deadLetters.list({}, { limit: 1 }, never())
      await deadLetters.close([closed?.id ?? ''], { as: 'discarded', ...BY }, never())
      await buryAt('11', '12', 'b')
      const failing = controlOf(store).fulfil(SWITCH, async (tx) => {
        await deadLetters.handOver(tx, ALL, SECOND)
        throw new Error('onSwitch failed')
      })
      await rejectionOf(failing, 'a switch that failed')
      expectEqual([await ofVersion(1), await ofVersion(2)], [['11 b', '12 b'], []], 'the letters after it')
      await controlOf(store).fulfil(SWITCH, async (tx, found) => {
        await deadLetters.handOver(tx, ALL, SECOND)
        return { to: { ...found, role: 'live' } }
      })
      expectEqual(
        [await ofVersion(1), await ofVersion(2)],
        [[], ['11 b', '12 b']],
        'the letters after a switch',
      )
      const counts = await deadLetters.counts(never())
      expectEqual(
        counts.map(({ version, open }) => [version, open]),
        [[2, 2]],
        'how many are open',
      )
    },
  },
  {
    name: 'what comes to nothing now changes nothing, and is still asked for',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await asked(fixture)
      expectEqual(await controlOf(store).fulfil(SWITCH, async () => undefined), undefined, 'what was done')
      expectEqual(await rolesOf(other), ['1 live', '2 beside'], 'the roles after it')
      const units = await controlOf(other).units({}, never())
      expectEqual(
        units.map(({ asked: pending }) => pending?.id).filter(Boolean),
        [REQUEST.id],
        'what is still asked for',
      )
      await other.advance(move('9', '10'), noWork)
    },
  },
  {
    name: 'nothing is done for an owner that has not begun, or that another one has followed',
    needs: NEEDS,
    check: async <Tx>(fixture: CheckpointStoreFixture<Tx>) => {
      const [store] = await asked(fixture)
      const { tenures } = store
      if (tenures === undefined) return
      const begin = async (session: string): Promise<void> => {
        const { incarnation } = EVIDENCE
        const at = { unit: SECOND, from: '3', incarnation, effects: 'always', signal: never() } as const
        await tenures.begin(at, () => ({ session, suspicion: undefined }))
      }
      const fulfil = async (): Promise<boolean> => {
        const asking = { ...SWITCH, session: 'first' }
        const work = async (_: Tx, found: ControlledUnit): Promise<Fulfilment> => ({
          to: { ...found, role: 'live' },
        })
        return (await controlOf(store).fulfil(asking, work)) !== undefined
      }
      expectEqual(await fulfil(), false, 'whether it was done before anybody has begun')
      await begin('second')
      expectEqual(await fulfil(), false, 'whether it was done after another owner has begun')
      await begin('first')
      expectEqual(await fulfil(), true, 'whether it was done for the owner that has begun')
    },
  },
  {
    name: 'a live version at work is waited for, and not for longer than is said',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await asked(fixture)
      let done: unknown = 'not tried'
      let stood: string | undefined
      let switching: Promise<unknown> | undefined
      await store.advance(move('9', '10'), async () => {
        const short = { ...SWITCH, liveWithinMs: 50 }
        done = await controlOf(other).fulfil(short, async (_, found) => ({ to: { ...found, role: 'live' } }))
        switching = controlOf(other).fulfil(SWITCH, async (_, found, live) => {
          stood = live?.position
          return { to: { ...found, role: 'live' } }
        })
        switching.catch(() => {})
      })
      expectEqual(done, undefined, 'what was done while the live version was at work')
      await within(switching ?? Promise.resolve(), 'a switch behind the batch at hand')
      expectEqual(stood, '10', 'where the live version stood after its batch')
      expectEqual(await rolesOf(store), ['1 beside', '2 live'], 'the roles after it')
    },
  },
]

function letterAt(position: string, key: string): NewDeadLetter {
  const at = { firstPosition: position, lastPosition: position }
  const error = { name: 'Error', message: 'no server' }
  return {
    source: SOURCE,
    ...at,
    events: 1,
    eventTypes: [],
    stage: 'handle',
    error,
    tries: 1,
    key,
    node: 'host/1',
  }
}

/** Two owners, with version 1 live at 9, version 2 beside it at 3, and a switch to that asked for. */
async function asked<Tx>(
  fixture: CheckpointStoreFixture<Tx>,
): Promise<readonly [CheckpointStore<Tx>, CheckpointStore<Tx>]> {
  const pair = await owners(fixture)
  const [store] = pair
  await store.open(SECOND, FIRST, never())
  await store.advance(move(undefined, '9'), noWork)
  await store.advance(move(undefined, '3', { unit: SECOND }), noWork)
  await controlOf(store).change(SECOND, () => ({ ask: REQUEST }), { timeoutMs: 10_000, signal: never() })
  return pair
}

async function rolesOf<Tx>(store: CheckpointStore<Tx>): Promise<readonly string[]> {
  const units = await controlOf(store).units({ projection: 'all' }, never())
  return units.map(({ unit, role }) => `${unit.version} ${role}`).sort()
}
