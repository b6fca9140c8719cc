import { unitKey } from '@tidemark/core/adapter'
import { createOperations } from '@tidemark/core/operations'
import { afterEach, expect, test, vi } from 'vitest'
import { countOf, handledBy, LEASE_MS, NAMES, nodesOf, numbers, settled } from './leased-nodes.ts'
import { alteredCheckpoints, gate, type Rig, rig, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  vi.restoreAllMocks()
})

const ANN = { who: 'ann', why: 'its machine is replaced' }

const operating = ({ checkpoints, events }: Rig) => createOperations({ checkpoints, source: events })

/** Two nodes that share the projections. */
async function two(parts: Rig) {
  const node = nodesOf(parts)
  const [a, b] = [node('a'), node('b')]
  for (const { daemon } of [a, b]) await daemon.start()
  await parts.clock.until(() => countOf(b) > 0)
  await settled(parts, [a, b])
  return { node, a, b, operations: operating(parts) }
}

test('a node that is drained gives back what it has, after the batch at hand and far sooner than with a renewal, and gets it again when it is opened', async () => {
  const parts = rig()
  const { a, b, operations } = await two(parts)
  const { clock, events } = parts
  const atMs = clock.nowMs()
  const drained = await operations.nodes.drain({ node: 'a', ...ANN })
  expect(drained).toMatchObject({ outcome: 'done', entries: [{ node: 'a', desired: 'draining', ...ANN }] })
  await clock.until(() => countOf(b) === NAMES.length)
  expect(clock.nowMs() - atMs).toBeLessThan(LEASE_MS / 3)
  events.append('a', 1)
  await clock.run(a.daemon.waitUntilProjected())
  for (const name of NAMES) expect(b.seen(name)).toEqual([1n])
  await clock.advance(2 * LEASE_MS)
  expect(countOf(a)).toBe(0)
  await operations.nodes.open({ node: 'a', ...ANN })
  await clock.until(() => countOf(a) === 2)
  await settled(parts, [a, b])
  events.append('a', 2)
  await clock.run(a.daemon.waitUntilProjected())
  for (const name of NAMES) expect(handledBy([a, b], name)).toEqual(numbers(2))
})

test('a batch at hand is finished before its projection leaves a node that is drained', async () => {
  const parts = rig()
  const holding = gate()
  const node = nodesOf(parts)
  let isHeld = false
  const a = node('a', { handle: () => (isHeld ? holding.promise : Promise.resolve()) })
  await a.daemon.start()
  await settled(parts, [a])
  const b = node('b')
  await b.daemon.start()
  await parts.clock.until(() => countOf(b) > 0)
  await settled(parts, [a, b])
  const own = NAMES.filter(a.has)
  isHeld = true
  parts.events.append('a', 1)
  await parts.clock.advance(500)
  await operating(parts).nodes.drain({ node: 'a', ...ANN })
  await parts.clock.advance(LEASE_MS)
  for (const name of own) expect(b.seen(name)).toEqual([])
  holding.open()
  await parts.clock.until(() => countOf(b) === NAMES.length)
  parts.events.append('a', 2)
  await parts.clock.run(b.daemon.waitUntilProjected())
  for (const name of own) expect(b.seen(name)).toEqual([2n])
})

test('a node that is cordoned keeps what it has, and is given nothing of one that goes, or that comes anew', async () => {
  const parts = rig()
  const { node, a, b, operations } = await two(parts)
  const own = NAMES.filter(a.has)
  await operations.nodes.cordon({ node: 'a', ...ANN })
  const c = node('c')
  await c.daemon.start()
  await parts.clock.run(b.daemon.stop())
  await parts.clock.until(() => countOf(a) + countOf(c) === NAMES.length)
  await settled(parts, [a, c])
  expect(NAMES.filter(a.has)).toEqual(own)
})

test('what is wanted of a name holds for a node that restarts under it, until another thing is wanted', async () => {
  const parts = rig()
  const { node, a, b, operations } = await two(parts)
  await operations.nodes.drain({ node: 'a', ...ANN })
  await parts.clock.until(() => countOf(b) === NAMES.length)
  await parts.clock.run(a.daemon.stop())
  const restarted = node('a')
  await restarted.daemon.start()
  await parts.clock.advance(2 * LEASE_MS)
  expect(countOf(restarted)).toBe(0)
  expect(restarted.daemon.status().cluster?.nodes.find(({ name }) => name === 'a')?.desired).toBe('draining')
  await operations.nodes.open({ node: 'a', ...ANN })
  await parts.clock.until(() => countOf(restarted) === 2)
})

test('of runs with the same name all are meant, and one by its id', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const twins = [node('a'), node('a')]
  for (const { daemon } of twins) await daemon.start()
  await parts.clock.until(() => twins.every((each) => countOf(each) > 0))
  await settled(parts, twins)
  const { nodes } = operating(parts)
  const [first, second] = twins.map(({ daemon }) => daemon.status().cluster?.id ?? '')
  await nodes.drain({ node: first ?? '', ...ANN })
  await parts.clock.until(() => twins[1] !== undefined && countOf(twins[1]) === NAMES.length)
  const { entries } = await nodes.drain({ node: 'a', ...ANN })
  expect(entries.flatMap(({ runs }) => runs)).toEqual([second])
  await parts.clock.until(() => twins.every((each) => countOf(each) === 0))
})

test('nodes are listed with what they have and who wants what; done twice it is done once, and noted once', async () => {
  const parts = rig()
  const { a, operations } = await two(parts)
  const { nodes } = operations
  await nodes.cordon({ node: 'a', ...ANN })
  expect(await nodes.cordon({ node: 'a', who: 'bob', why: 'the same' })).toEqual({
    outcome: 'already',
    entries: [],
  })
  const listed = await nodes.list()
  expect(
    listed.map(({ name, isAlive, desired, decision }) => ({ name, isAlive, desired, who: decision?.who })),
  ).toEqual([
    { name: 'a', isAlive: true, desired: 'cordoned', who: 'ann' },
    { name: 'b', isAlive: true, desired: 'open', who: undefined },
  ])
  expect(listed[0]?.units.map(({ projection }) => projection).toSorted()).toEqual(
    NAMES.filter(a.has).toSorted(),
  )
  expect(new Set(listed.flatMap(({ units }) => units.map(unitKey))).size).toBe(NAMES.length)
  await nodes.open({ node: 'a', ...ANN })
  const noted = (await nodes.audit({ node: 'a' })).map(({ desired, who }) => `${desired} by ${who}`)
  expect(noted).toEqual(['open by ann', 'cordoned by ann'])
  expect(await nodes.audit({ node: 'b' })).toEqual([])
  expect(await nodes.audit({ limit: 1 })).toHaveLength(1)
})

test('a node that is not there is refused, with those that are; and so is a reason that says nothing', async () => {
  const parts = rig()
  const { operations } = await two(parts)
  await expect(operations.nodes.drain({ node: 'c', ...ANN })).rejects.toMatchObject({
    code: 'TIDEMARK_NODE_UNKNOWN',
    message: 'node "c": no node has that name or id; there are "a", "b"; nothing was changed',
  })
  await expect(operations.nodes.drain({ node: 'a', who: 'ann', why: ' ' })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
  })
  expect(await operations.nodes.audit()).toEqual([])
})

test('where a store gives no leases, what is asked of nodes is refused with what to do', async () => {
  const { checkpoints, events } = rig()
  const operations = createOperations({ checkpoints: alteredCheckpoints(checkpoints, {}), source: events })
  const { nodes } = operations
  for (const call of [() => nodes.list(), () => nodes.drain({ node: 'a', ...ANN }), () => nodes.audit()]) {
    await expect(call()).rejects.toMatchObject({ code: 'TIDEMARK_UNSUPPORTED_BY_STORE' })
  }
})
