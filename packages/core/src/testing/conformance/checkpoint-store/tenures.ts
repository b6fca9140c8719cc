import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import type { BeginRequest, FoundTenure, Suspicion, Tenure, Tenures } from '../../../ports/tenures.ts'
import { expectCode, expectEqual } from '../expectations.ts'
import { needed } from '../suite.ts'
import { controlOf } from './control.ts'
import { ALL, type CheckpointStoreRule, CONFLICT, EVIDENCE, move, never, noWork, owners } from './fixture.ts'

const SUSPICION: Suspicion = { from: null, through: '9', left: 5, limit: 1, tries: 2, trying: 'position' }

function tenuresOf<Tx>(store: CheckpointStore<Tx>): Tenures {
  return needed(store.tenures, 'tenures', 'counts_deaths')
}

function beginAt(from: string | undefined): BeginRequest {
  return { unit: ALL, from, incarnation: EVIDENCE.incarnation, effects: 'always', signal: never() }
}

/** What is kept; it stays as it is. */
async function kept<Tx>(
  store: CheckpointStore<Tx>,
  from: string | undefined,
): Promise<Pick<FoundTenure, 'session' | 'suspicion'>> {
  let seen: Tenure | undefined
  await tenuresOf(store).begin(beginAt(from), ({ session, suspicion }) => {
    seen = { session, suspicion }
    return seen
  })
  return seen ?? { session: undefined, suspicion: undefined }
}

const NOBODY: Tenure = { session: undefined, suspicion: undefined }

/** Who works at a unit, so that an event that ends the process is found. */
export const TENURE_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'who has begun at a unit, and what is suspected, is kept for the next owner',
    needs: 'counts_deaths',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      expectEqual(await kept(two, undefined), NOBODY, 'what is kept of a unit that nobody has begun at')
      const tenure = { session: 'first', suspicion: SUSPICION }
      await tenuresOf(one).begin(beginAt(undefined), () => tenure)
      expectEqual(await kept(two, undefined), tenure, 'what the next owner finds')
    },
  },
  {
    name: 'for whom the one that has begun is given its events is kept with the unit',
    needs: 'counts_deaths',
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('follows_operators')) return
      const [one, two] = await owners(fixture)
      const effects = async () => (await controlOf(two).units({}, never())).map((unit) => unit.effects)
      expectEqual(await effects(), [undefined], 'what is told of a unit that nobody has begun at')
      const tenure = { session: 'first', suspicion: undefined }
      await tenuresOf(one).begin({ ...beginAt(undefined), effects: 'live_only' }, () => tenure)
      expectEqual(await effects(), ['live_only'], 'what operators are told')
      await tenuresOf(two).begin(beginAt(undefined), () => ({ ...tenure, session: 'second' }))
      expectEqual(await effects(), ['always'], 'what they are told once another one has begun')
    },
  },
  {
    name: 'an advance keeps what it is given with the checkpoint, and only for who has begun',
    needs: 'counts_deaths',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      const tenure = { session: 'first', suspicion: undefined }
      await expectCode(
        one.advance(move(undefined, '3', { tenure }), noWork),
        CONFLICT,
        'an advance of a session that has not begun',
      )
      await tenuresOf(one).begin(beginAt(undefined), () => ({ session: 'first', suspicion: SUSPICION }))
      await one.advance(move(undefined, '3', { tenure }), noWork)
      expectEqual(await kept(two, '3'), tenure, 'what is kept with the checkpoint')
      await tenuresOf(two).begin(beginAt('3'), () => ({ session: 'second', suspicion: undefined }))
      await expectCode(
        one.advance(move('3', '4', { tenure }), noWork),
        CONFLICT,
        'an advance after another session has begun',
      )
    },
  },
  {
    name: 'a clean end takes the session away, of no other session, and leaves what is suspected',
    needs: 'counts_deaths',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      const tenure = { session: 'first', suspicion: SUSPICION }
      await tenuresOf(one).begin(beginAt(undefined), () => tenure)
      await tenuresOf(two).end(ALL, 'second', never())
      expectEqual(await kept(two, undefined), tenure, 'what is kept after the end of another session')
      await tenuresOf(one).end(ALL, 'first', never())
      expectEqual(
        await kept(two, undefined),
        { session: undefined, suspicion: SUSPICION },
        'what is kept after a clean end',
      )
    },
  },
  {
    name: 'nobody begins where the checkpoint is not, while another owner works, or where the answer is an error',
    needs: 'counts_deaths',
    check: async (fixture) => {
      const [one, two] = await owners(fixture)
      const taken = (): Tenure => ({ session: 'second', suspicion: undefined })
      await expectCode(tenuresOf(two).begin(beginAt('7'), taken), CONFLICT, 'to begin at another checkpoint')
      await one.advance(move(undefined, '3'), async () => {
        await expectCode(
          tenuresOf(two).begin(beginAt(undefined), taken),
          CONFLICT,
          'to begin while another owner works',
        )
      })
      const boom = Object.assign(new Error('boom'), { code: 'BOOM' })
      const failing = tenuresOf(two).begin(beginAt('3'), () => {
        throw boom
      })
      await expectCode(failing, 'BOOM', 'to begin where the answer is an error')
      expectEqual(await kept(one, '3'), NOBODY, 'what is kept after all that')
    },
  },
]
