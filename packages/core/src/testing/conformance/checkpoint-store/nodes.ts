import type { NodeAuditEntry, NodeControl, NodeDecision } from '../../../ports/node-control.ts'
import { unitKey } from '../../../ports/unit.ts'
import { expectEqual, until } from '../expectations.ts'
import { ALL, type CheckpointStoreRule, never, SOURCE } from './fixture.ts'
import { claim, LONG_MS, nodeOf, nodes, renew } from './leases.ts'

const DRAINED: NodeDecision = {
  source: SOURCE,
  node: 'second',
  desired: 'draining',
  who: 'ann',
  why: 'its machine is replaced',
}
const SECOND = { name: 'the node second' }

const audited = (control: NodeControl): Promise<readonly NodeAuditEntry[]> =>
  control.audit({ source: SOURCE, node: undefined, before: undefined, limit: 10 }, never())

const noted = (entries: readonly NodeAuditEntry[]) =>
  entries.map(({ source, node, runs, desired, who, why }) => ({
    ...{ source, node, desired, who, why },
    runs: runs.toSorted(),
  }))

/** What operators want of nodes. */
export const NODE_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'what is wanted of a node is seen by all, and noted once, with who and why',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      expectEqual(
        await first.control.decide({ ...DRAINED, source: 'other events' }, never()),
        [],
        'what is noted for another source',
      )
      const entries = await first.control.decide(DRAINED, never())
      const { node: _id, ...decided } = DRAINED
      expectEqual(noted(entries), [{ ...decided, node: SECOND.name, runs: ['second'] }], 'what is noted')
      expectEqual(await second.control.decide(DRAINED, never()), [], 'what is noted the second time')
      const cluster = await renew(second, 'second')
      expectEqual(
        ['first', 'second'].map((id) => nodeOf(cluster, id)?.desired),
        ['open', 'draining'],
        'what is seen of both',
      )
      const listed = (await first.control.list(SOURCE, never())).find(({ id }) => id === 'second')
      const [{ atMs } = { atMs: 0 }] = entries
      expectEqual(
        { ...listed?.decision, sinceMs: 0 },
        { who: DRAINED.who, why: DRAINED.why, sinceMs: 0 },
        'who wants it',
      )
      await first.control.decide({ ...DRAINED, desired: 'open', who: 'bob' }, never())
      expectEqual(nodeOf(await renew(first, 'first'), 'second')?.desired, 'open', 'what is seen in the end')
      const all = await audited(second.control)
      expectEqual(
        all.map(({ desired, who }) => `${desired} by ${who}`),
        ['open by bob', 'draining by ann'],
        'what was done, the newest first',
      )
      expectEqual(all[1]?.atMs, atMs, 'when it was')
    },
  },
  {
    name: 'what is wanted of a name is wanted of each run of it, also of one that comes later',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      await renew(second, 'third', LONG_MS, SECOND)
      const byName = { ...DRAINED, node: SECOND.name, desired: 'cordoned' } as const
      const [entry] = noted(await first.control.decide(byName, never()))
      expectEqual(entry?.runs, ['second', 'third'], 'which runs were changed')
      await second.leave('second', never())
      await second.leave('third', never())
      const cluster = await renew(second, 'fourth', LONG_MS, SECOND)
      expectEqual(nodeOf(cluster, 'fourth')?.desired, 'cordoned', 'what is seen of one that comes later')
      expectEqual(nodeOf(cluster, 'first')?.desired, 'open', 'what is seen of another name')
    },
  },
  {
    name: 'nodes are listed with what they have, for as long as they have not left',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      await claim(first, 'first', 0n)
      await renew(second, 'third', LONG_MS, { source: 'other events' })
      const listed = async (source: string | undefined) =>
        [...(await second.control.list(source, never()))].sort((a, b) => (a.id < b.id ? -1 : 1))
      const found = await listed(SOURCE)
      expectEqual(
        found.map(({ id, units }) => [id, units.map(unitKey)]),
        [
          ['first', [unitKey(ALL)]],
          ['second', []],
        ],
        'which units each has',
      )
      expectEqual(
        found.map(({ isAlive, desired, decision }) => ({ isAlive, desired, decision })),
        Array.from({ length: 2 }, () => ({ isAlive: true, desired: 'open', decision: undefined })),
        'what else is said of them',
      )
      await first.leave('first', never())
      expectEqual(
        (await listed(undefined)).map(({ id }) => id),
        ['second', 'third'],
        'those of every source, after one has left',
      )
    },
  },
  {
    name: 'whoever is present is told when something is wanted of a node',
    needs: 'gives_leases',
    check: async (fixture) => {
      const { first, second } = await nodes(fixture)
      const over = new AbortController()
      let hints = 0
      const request = { node: 'second', source: SOURCE, onHint: () => hints++, signal: over.signal }
      const kept = await second.presence?.(request)
      if (kept?.isSeen !== true) return over.abort(new Error('the case ends'))
      const before = hints
      await first.control.decide(DRAINED, never())
      await until(
        async () => hints,
        (count) => count > before,
        'it is told',
      )
      over.abort(new Error('the case ends'))
    },
  },
]
