import { UnsupportedByStoreError } from '@tidemark/core'
import { unitKey, wholeUnit } from '@tidemark/core/adapter'
import { afterEach, expect, test, vi } from 'vitest'
import { never } from '../support/never.ts'
import { countOf, handledBy, LEASE_MS, NAMES, nodesOf, numbers, settled } from './leased-nodes.ts'
import { alteredCheckpoints, gate, projectionOf, recording, rig, stateOf, stopAll } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  vi.restoreAllMocks()
})

test('one node has everything, and hands over a share, after the batch at hand, to each that comes', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const nodes = [node('a')]
  for (const { daemon } of nodes) await daemon.start()
  await settled(parts, nodes)
  for (const name of ['b', 'c']) {
    for (let n = 0; n < 10; n++) parts.events.append('a', n)
    const more = node(name)
    nodes.push(more)
    await more.daemon.start()
    await parts.clock.until(() => countOf(more) > 0)
    await settled(parts, nodes)
    for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
  }
  expect(nodes.map(countOf).toSorted()).toEqual([1, 2, 2])
  for (const name of NAMES) expect(handledBy(nodes, name)).toEqual(numbers(20))
})

test('a node that stops gives back each projection after its batch, and others go on with it at once', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const holding = gate()
  let isHeld = false
  const a = node('a', {
    handle: async () => {
      if (isHeld) await holding.promise
    },
  })
  const b = node('b')
  for (const { daemon } of [a, b]) await daemon.start()
  await settled(parts, [a, b])
  const own = NAMES.filter(a.has)
  expect(own.length).toBeGreaterThan(0)
  isHeld = true
  parts.events.append('a', 1)
  await parts.clock.until(() => own.every((name) => stateOf(a.daemon, name) !== 'live'))
  const stopping = a.daemon.stop()
  await parts.clock.advance(1_000)
  for (const name of own) expect(b.has(name)).toBe(false)
  holding.open()
  const stoppedAtMs = parts.clock.nowMs()
  await parts.clock.run(stopping)
  parts.events.append('a', 2)
  await parts.clock.until(() => NAMES.every((name) => b.seen(name).at(-1) === 2n))
  // Far sooner than any renewal.
  expect(parts.clock.nowMs() - stoppedAtMs).toBeLessThan(LEASE_MS / 3)
  for (const name of own) expect(b.seen(name)).toEqual([2n])
  expect(a.daemon.status().cluster?.life).toBe('gone')
})

test('what a node that stops has given back goes on elsewhere at once, however long a batch of another projection takes', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const holding = gate()
  let isToHold = false
  let isHeld = false
  const a = node('a', {
    handle: async () => {
      if (!isToHold || isHeld) return
      isHeld = true
      await holding.promise
    },
  })
  const b = node('b')
  await a.daemon.start()
  await settled(parts, [a])
  await b.daemon.start()
  await parts.clock.until(() => countOf(b) > 0)
  await settled(parts, [a, b])
  isToHold = true
  parts.events.append('a', 1)
  await parts.clock.until(() => isHeld)
  const atMs = parts.clock.nowMs()
  const stopping = a.daemon.stop()
  await parts.clock.until(() => countOf(b) === NAMES.length - 1)
  expect(parts.clock.nowMs() - atMs).toBeLessThan(LEASE_MS / 3)
  holding.open()
  await parts.clock.run(stopping)
  await parts.clock.until(() => countOf(b) === NAMES.length)
})

test('status, health and log say who has what', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const [a, b] = [node('a'), node('b')]
  await a.daemon.start()
  expect(a.lines[0]).toBe(
    'tidemark: this is node "a", with leases of 10000 ms; it shares with others that have them: "orders", "stock", "mails", ' +
      '"invoices", "search"',
  )
  await b.daemon.start()
  await parts.clock.until(() => countOf(b) > 0)
  await settled(parts, [a, b])
  await parts.clock.advance(LEASE_MS)
  const [here, there] = [NAMES.find(a.has), NAMES.find(b.has)]
  if (here === undefined || there === undefined) throw new Error('each node has something')
  expect(projectionOf(a.daemon, here).lease).toEqual({ node: 'a', isHere: true })
  expect(projectionOf(a.daemon, there).lease).toEqual({ node: 'b', isHere: false })
  const { cluster } = a.daemon.status()
  expect(cluster).toMatchObject({ name: 'a', life: 'in', seenBy: 'presence', leaseMs: LEASE_MS })
  expect(cluster?.nodes.map(({ name, isAlive, presence }) => [name, isAlive, presence]).toSorted()).toEqual([
    ['a', true, 'here'],
    ['b', true, 'here'],
  ])
  expect(cluster?.nodes.reduce((sum, { units }) => sum + units, 0)).toBe(NAMES.length)
  expect(JSON.parse(JSON.stringify(cluster)).units).toContainEqual({
    unit: wholeUnit(here),
    node: cluster?.id,
    fence: '1',
  })
  const judged = a.daemon.health().projections.find(({ name }) => name === there)
  expect(judged).toMatchObject({ status: 'standby', why: 'it is with node "b", which has its lease' })
  expect(a.daemon.health()).toMatchObject({ live: true, ready: true })
  expect(a.lines.some((line) => line.startsWith('tidemark: node "a" hands over '))).toBe(true)
  expect(b.lines.some((line) => line.startsWith('tidemark: node "b" is given '))).toBe(true)
})

test('status tells what a node is given, and gives back, at once, not with the next renewal', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const [a, b] = [node('a'), node('b')]
  const atMs = parts.clock.nowMs()
  const here = ({ daemon }: typeof a) => NAMES.filter((name) => projectionOf(daemon, name).lease?.isHere)
  await a.daemon.start()
  await parts.clock.until(() => here(a).length === NAMES.length)
  await b.daemon.start()
  await parts.clock.until(() => here(b).length === 2)
  expect(here(a)).toHaveLength(3)
  expect(parts.clock.nowMs() - atMs).toBeLessThan(LEASE_MS / 3)
})

test('a checkpoint that another owner has moved is no failure: it is read again, and work goes on', async () => {
  const parts = rig()
  const lines = nodesOf(parts)('a')
  await lines.daemon.start()
  await settled(parts, [lines])
  parts.events.append('a', 1)
  await parts.clock.run(lines.daemon.waitUntilProjected())
  const { leases } = parts.checkpoints
  if (leases === undefined) throw new Error('it has leases')
  // As a node whose look at this one's presence was wrong: the fence has grown.
  const report = {
    id: 'z',
    name: 'z',
    source: parts.events.name,
    capacity: 1,
    units: [],
    unable: [],
    isLeaving: false,
  }
  const { leases: found } = await leases.renew({ node: report, leaseMs: LEASE_MS, signal: never() })
  await leases.release({
    node: lines.daemon.status().cluster?.id ?? '',
    leases: found,
    signal: never(),
  })
  const [stolen] = await leases.claim({
    node: 'z',
    claims: found
      .filter(({ unit }) => unit.projection === 'orders')
      .map((lease) => ({ ...lease, gone: undefined })),
    signal: never(),
  })
  if (stolen === undefined) throw new Error('it can be claimed')
  parts.events.append('a', 2)
  await parts.clock.until(() => stateOf(lines.daemon, 'orders') === 'standby')
  await leases.leave('z', never())
  await parts.clock.until(() => lines.seen('orders').length === 2)
  for (const name of NAMES) expect(lines.seen(name)).toEqual(numbers(2))
  expect(projectionOf(lines.daemon, 'orders').failure).toBeUndefined()
  await settled(parts, [lines])
  const key = unitKey(wholeUnit('orders'))
  const held = lines.daemon.status().cluster?.units.find(({ unit }) => unitKey(unit) === key)
  expect(held?.fence).toBeGreaterThan(stolen.fence)
})

test('a node whose renewals are not answered stops work when its trust has ended, says so, and goes on later', async () => {
  const parts = rig()
  const { leases } = parts.checkpoints
  if (leases === undefined) throw new Error('it has leases')
  let isSilent = false
  const store = alteredCheckpoints(parts.checkpoints, {
    leases: {
      renew: (request) =>
        isSilent
          ? new Promise((_, reject) =>
              request.signal.addEventListener('abort', () => reject(request.signal.reason)),
            )
          : leases.renew(request),
      claim: (request) => leases.claim(request),
      release: (request) => leases.release(request),
      leave: (...args) => leases.leave(...args),
      control: leases.control,
    },
  })
  const a = nodesOf(parts)('a', { store })
  await a.daemon.start()
  await settled(parts, [a])
  expect(a.daemon.status().cluster?.seenBy).toBe('expiry')
  isSilent = true
  await parts.clock.advance(LEASE_MS + 1)
  for (const name of NAMES) expect(stateOf(a.daemon, name)).toBe('standby')
  parts.events.append('a', 1)
  await parts.clock.advance(LEASE_MS)
  for (const name of NAMES) expect(a.seen(name)).toEqual([])
  expect(a.lines.some((line) => /stops work at .*no renewal of its lease of 10000 ms/.test(line))).toBe(true)
  isSilent = false
  await parts.clock.run(a.daemon.waitUntilProjected())
  for (const name of NAMES) expect(a.seen(name)).toEqual([1n])
})

test('what an operator has paused is given back when another node is to have it, and goes on there', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const a = node('a')
  await a.daemon.start()
  await settled(parts, [a])
  const { createOperations } = await import('@tidemark/core/operations')
  const operations = createOperations({ checkpoints: parts.checkpoints, source: parts.events })
  for (const name of NAMES) await operations.pause({ projection: name, who: 'ann', why: 'mending' })
  await parts.clock.until(() => NAMES.every((name) => stateOf(a.daemon, name) === 'paused'))
  const b = node('b')
  await b.daemon.start()
  await parts.clock.advance(LEASE_MS)
  const there = NAMES.filter((name) => projectionOf(b.daemon, name).lease?.isHere)
  expect(there).toHaveLength(2)
  for (const name of NAMES) await operations.resume({ projection: name, who: 'ann', why: 'mended' })
  parts.events.append('a', 1)
  await parts.clock.until(() => NAMES.every((name) => handledBy([a, b], name).length === 1))
  for (const name of there) expect(b.seen(name)).toEqual([1n])
})

test('a node is given only what it has a handler of', async () => {
  const parts = rig()
  const a = nodesOf(parts)('a')
  await a.daemon.start()
  await settled(parts, [a])
  const more = recording('newest')
  const b = parts.daemon([more, recording('orders')], { nodes: { name: 'b', leaseMs: LEASE_MS } })
  await b.start()
  parts.events.append('a', 1)
  await parts.clock.until(() => more.seen.length === 1)
  await parts.clock.advance(2 * LEASE_MS)
  expect(projectionOf(b, 'newest').lease?.isHere).toBe(true)
  for (const name of NAMES.filter((each) => each !== 'orders')) expect(a.has(name)).toBe(true)
})

test('a store without leases is refused when the daemon is made, with what to do instead', () => {
  const parts = rig()
  const without = alteredCheckpoints(parts.checkpoints, {})
  const make = () => parts.daemon([recording('orders')], { nodes: {}, checkpoints: without })
  expect(make).toThrow(UnsupportedByStoreError)
  expect(make).toThrow('nodes: { index, of }')
})
