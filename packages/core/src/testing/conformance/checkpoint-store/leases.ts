import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import type { Claim, Cluster, Lease, Leases, NodeReport, StoredNode } from '../../../ports/leases.ts'
import { type Unit, unitKey, wholeUnit } from '../../../ports/unit.ts'
import { expectCode, expectEqual, expectThat, until, within } from '../expectations.ts'
import { needed } from '../suite.ts'
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
  owners,
  SOURCE,
} from './fixture.ts'

function leasesOf<Tx>(store: CheckpointStore<Tx>): Leases {
  return needed(store.leases, 'leases', 'gives_leases')
}

/** No case lasts as long. */
export const LONG_MS = 3_600_000
/** It has expired as soon as anybody looks. */
const SHORT_MS = 1

const reportOf = (id: string, more: Partial<NodeReport> = {}): NodeReport => ({
  id,
  name: `the node ${id}`,
  source: SOURCE,
  capacity: 1,
  units: [unitKey(ALL)],
  unable: [],
  isLeaving: false,
  ...more,
})

interface TwoNodes<Tx> {
  readonly one: CheckpointStore<Tx>
  readonly two: CheckpointStore<Tx>
  readonly first: Leases
  readonly second: Leases
}

/** Two processes, in each of which a node has joined. */
export async function nodes<Tx>(fixture: CheckpointStoreFixture<Tx>): Promise<TwoNodes<Tx>> {
  const [one, two] = await owners(fixture)
  const [first, second] = [leasesOf(one), leasesOf(two)]
  await renew(first, 'first')
  await renew(second, 'second')
  return { one, two, first, second }
}

export const renew = (
  leases: Leases,
  id: string,
  leaseMs: number = LONG_MS,
  more: Partial<NodeReport> = {},
): Promise<Cluster> => leases.renew({ node: reportOf(id, more), leaseMs, signal: never() })

export const claim = (
  leases: Leases,
  node: string,
  fence: bigint,
  more: Partial<Claim> = {},
): Promise<readonly Lease[]> =>
  leases.claim({ node, claims: [{ unit: ALL, fence, gone: undefined, ...more }], signal: never() })

const fences = (leases: readonly Lease[]): readonly bigint[] => leases.map(({ fence }) => fence)

const leaseOf = ({ leases }: Cluster, unit: Unit = ALL) =>
  leases.find((lease) => unitKey(lease.unit) === unitKey(unit))

export function nodeOf({ nodes }: Cluster, id: string): StoredNode | undefined {
  return nodes.find((node) => node.id === id)
}

/** Looks until that node is not alive any more. */
const untilExpired = (leases: Leases, looker: string, id: string): Promise<Cluster> =>
  until(
    () => renew(leases, looker),
    (cluster) => nodeOf(cluster, id)?.isAlive !== true,
    `the lease of ${id} ends`,
  )

/** Which node may move which unit. */
export const LEASE_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'nodes of a source see each other, and which units there are; those of another source they do not',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { two, first, second } = await nodes(fixture)
      await two.open(wholeUnit('other'), { ...FIRST, source: 'other events' }, never())
      await renew(second, 'third', LONG_MS, { source: 'other events' })
      const report = reportOf('second', {
        capacity: 2.5,
        units: [unitKey(ALL), 'another'],
        unable: ['another'],
        isLeaving: true,
      })
      await leasesOf(two).leave('second', never())
      await renew(second, 'fourth', LONG_MS, { ...report, id: 'fourth' })
      const cluster = await renew(first, 'first')
      expectEqual(cluster.nodes.map(({ id }) => id).toSorted(), ['first', 'fourth'], 'which nodes are seen')
      const { presence: _presence, ...seen } = nodeOf(cluster, 'fourth') ?? {}
      expectEqual(seen, { ...report, id: 'fourth', desired: 'open', isAlive: true }, 'what is seen of a node')
      expectEqual(
        cluster.leases,
        [{ unit: ALL, owner: undefined, fence: 0n }],
        'the units, before anybody has one',
      )
    },
  },
  {
    name: 'a node that does not renew is not alive once its lease has ended, and is again when it does',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      await renew(second, 'second', SHORT_MS)
      await untilExpired(first, 'first', 'second')
      await renew(second, 'second')
      const cluster = await renew(first, 'first')
      expectEqual(nodeOf(cluster, 'second')?.isAlive, true, 'whether it is alive after it has renewed')
    },
  },
  {
    name: 'what a node says that it cannot work on may be another with each renewal',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const seen = async () => nodeOf(await renew(second, 'second'), 'first')?.unable
      await renew(first, 'first', LONG_MS, { unable: [unitKey(ALL)] })
      expectEqual(await seen(), [unitKey(ALL)], 'what is seen of the second renewal')
      await renew(first, 'first')
      expectEqual(await seen(), [], 'what is seen of the third')
    },
  },
  {
    name: 'a unit that nobody has is given to one of those who claim it at the same time, under a greater fence',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const claimed = await within(
        Promise.all([claim(first, 'first', 0n), claim(second, 'second', 0n)]),
        'two claims at the same time',
      )
      const won = claimed.flat()
      expectEqual(
        won.map(({ unit }) => unitKey(unit)),
        [unitKey(ALL)],
        'what was given to either',
      )
      const lease = leaseOf(await renew(first, 'first'))
      expectEqual(lease?.owner, claimed[0]?.length === 1 ? 'first' : 'second', 'who has it')
      expectEqual(fences(won), [lease?.fence], 'the fence')
      expectThat((lease?.fence ?? 0n) > 0n, 'the fence is greater than before', lease?.fence)
    },
  },
  {
    name: 'a unit of a node that is alive is given to nobody else; nor where the fence that was seen is not the newest',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const [fence = 0n] = fences(await claim(first, 'first', 0n))
      expectEqual(await claim(second, 'second', fence), [], 'what is given of a living node')
      await first.release({ node: 'first', leases: [{ unit: ALL, fence }], signal: never() })
      expectEqual(await claim(second, 'second', fence - 1n), [], 'what is given for a fence of before')
      expectThat((await claim(second, 'second', fence)).length === 1, 'it is given for the newest fence')
    },
  },
  {
    name: 'a unit whose owner has not renewed is given to another node, and what the first one does then is refused',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { one, two, first, second } = await nodes(fixture)
      const [old = 0n] = fences(await claim(first, 'first', 0n))
      await one.advance(move(undefined, '3', { fence: old }), noWork)
      await renew(first, 'first', SHORT_MS)
      await untilExpired(second, 'second', 'first')
      const [fence = 0n] = fences(await claim(second, 'second', old))
      expectThat(fence > old, 'the fence grows with the owner', fence)
      let hasWorked = false
      const late = one.advance(move('3', '4', { fence: old }), async () => {
        hasWorked = true
      })
      await expectCode(late, CONFLICT, 'an advance under the fence of before')
      expectEqual(hasWorked, false, 'whether its work was done')
      await two.advance(move('3', '4', { fence }), noWork)
      const lease = leaseOf(await renew(first, 'first'))
      expectEqual(lease, { unit: ALL, owner: 'second', fence }, 'what the first one sees when it is back')
    },
  },
  {
    name: 'nobody begins at a unit under a fence that is not the newest',
    needs: 'gives_leases',
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('counts_deaths')) return
      const { one, first } = await nodes(fixture)
      const [fence = 0n] = fences(await claim(first, 'first', 0n))
      const begin = (under: bigint) =>
        one.tenures?.begin(
          {
            unit: ALL,
            from: undefined,
            incarnation: EVIDENCE.incarnation,
            effects: 'always',
            fence: under,
            signal: never(),
          },
          () => ({ session: 'first', suspicion: undefined }),
        ) ?? Promise.resolve()
      await expectCode(begin(fence - 1n), CONFLICT, 'to begin under a fence of before')
      await begin(fence)
    },
  },
  {
    name: "what is given back under its fence is nobody's; under another fence it stays",
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const [fence = 0n] = fences(await claim(first, 'first', 0n))
      const release = (leases: Leases, node: string, under: bigint) =>
        leases.release({ node, leases: [{ unit: ALL, fence: under }], signal: never() })
      await release(first, 'first', fence - 1n)
      await release(second, 'second', fence)
      expectEqual(
        leaseOf(await renew(first, 'first'))?.owner,
        'first',
        'who has it after others gave it back',
      )
      await release(first, 'first', fence)
      expectEqual(
        leaseOf(await renew(first, 'first')),
        { unit: ALL, owner: undefined, fence },
        'the unit once its owner has given it back',
      )
    },
  },
  {
    name: 'a node that has left has nothing, and what it has sent before and arrives later brings it not back',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const [fence = 0n] = fences(await claim(first, 'first', 0n))
      await first.leave('first', never())
      await renew(first, 'first')
      expectEqual(await claim(first, 'first', fence), [], 'what is given to one that has left')
      const cluster = await renew(second, 'second')
      expectEqual(
        cluster.nodes.map(({ id }) => id),
        ['second'],
        'which nodes are seen',
      )
      expectEqual(leaseOf(cluster)?.owner, undefined, 'who has its unit')
    },
  },
  {
    name: 'a node that is not alive itself, or has never joined, or joined another source, is given nothing',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      await renew(second, 'second', SHORT_MS)
      await untilExpired(first, 'first', 'second')
      await renew(second, 'third', LONG_MS, { source: 'other events' })
      for (const id of ['second', 'third', 'never joined']) {
        expectEqual(await claim(second, id, 0n), [], `what is given to ${id}`)
      }
    },
  },
  {
    name: 'a unit whose checkpoint is being moved is left out of a claim, which does not wait',
    needs: 'gives_leases',
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('locks')) return
      const { one, second } = await nodes(fixture)
      await one.advance(move(undefined, '3'), async () => {
        expectEqual(await within(claim(second, 'second', 0n), 'a claim'), [], 'what is given meanwhile')
      })
      expectThat((await claim(second, 'second', 0n)).length === 1, 'it is given afterwards')
    },
  },
  {
    name: 'a node that ends is seen to be gone by what it keeps in the store, and its units are given to who names that',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const over = new AbortController()
      const request = { node: 'first', source: SOURCE, onHint: () => {}, signal: over.signal }
      const kept = await first.presence?.(request)
      if (kept?.isSeen !== true) return
      const [fence = 0n] = fences(await claim(first, 'first', 0n))
      const seen = async () => nodeOf(await renew(second, 'second'), 'first')?.presence
      expectEqual(await seen(), { is: 'here' }, 'what is seen of it')
      over.abort(new Error('the process ends'))
      const presence = await until(seen, (found) => found?.is === 'gone', 'it is seen to be gone')
      expectEqual(
        await claim(second, 'second', fence, { gone: 'another' }),
        [],
        'what is given for another one',
      )
      expectEqual(await claim(second, 'second', fence), [], 'what is given where none is named')
      const gone = presence?.is === 'gone' ? presence.which : undefined
      expectThat((await claim(second, 'second', fence, { gone })).length === 1, 'it is given for that one')
    },
  },
]
