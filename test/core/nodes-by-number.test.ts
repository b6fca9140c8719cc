import { createOperations } from '@tidemark/core/operations'
import { afterEach, expect, test } from 'vitest'
import { never } from '../support/never.ts'
import {
  alteredCheckpoints,
  positionOf,
  projectionOf,
  recording,
  rig,
  stateOf,
  stopAll,
  TransientError,
} from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

const NAMES = ['orders', 'stock', 'mails', 'invoices', 'search']
const OF = 3

/** A node of its own, with what its projections were given. */
function nodesOf(parts: ReturnType<typeof rig>) {
  return (index: number, of = OF, options: Parameters<typeof recording>[1] = {}) => {
    const projections = NAMES.map((name) => recording(name, options))
    const lines: string[] = []
    const logger = { info: (line: string) => lines.push(line), warn: () => {}, error: () => {} }
    const daemon = parts.daemon(projections, { nodes: { index, of }, logger })
    const seen = (name: string): readonly bigint[] =>
      projections.find((projection) => projection.name === name)?.seen ?? []
    const isHere = (name: string): boolean => projectionOf(daemon, name).dealtTo?.isHere === true
    return { daemon, lines, seen, isHere }
  }
}

const numbers = (count: number): bigint[] => Array.from({ length: count }, (_, index) => BigInt(index + 1))

test('each projection is worked on by the node that it is dealt to, and by no other', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const nodes = [node(0), node(1), node(2)]
  for (const { daemon } of nodes) await daemon.start()
  for (let n = 0; n < 20; n++) parts.events.append('a', n)
  for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
  for (const name of NAMES) {
    expect(nodes.filter(({ isHere }) => isHere(name))).toHaveLength(1)
    for (const { seen, isHere } of nodes) expect(seen(name)).toEqual(isHere(name) ? numbers(20) : [])
  }
})

test('log, status and health of the other nodes say where a projection is dealt, from the start on', async () => {
  const parts = rig()
  const { daemon, lines, isHere } = nodesOf(parts)(1)
  await daemon.start()
  const [here, elsewhere] = [NAMES.find(isHere), NAMES.find((name) => !isHere(name))]
  if (here === undefined || elsewhere === undefined) throw new Error('each node has something, and not all')
  const { dealtTo, state } = projectionOf(daemon, elsewhere)
  expect(state).toBe('standby')
  expect(dealtTo).toEqual({ index: expect.any(Number), of: OF, isHere: false })
  expect(projectionOf(daemon, here).dealtTo).toEqual({ index: 1, of: OF, isHere: true })
  await parts.clock.advance(5_000)
  expect(stateOf(daemon, elsewhere)).toBe('standby')
  expect(stateOf(daemon, here)).toBe('live')
  const health = daemon.health()
  expect(health.projections.find(({ name }) => name === elsewhere)).toMatchObject({
    status: 'standby',
    why: `it is dealt to node ${dealtTo?.index} of 3`,
    dealtTo,
  })
  expect(lines).toContainEqual(
    expect.stringMatching(/^tidemark: this is node 1 of 3, numbered from 0; dealt to it: /),
  )
  expect(lines[0]).toContain(`"${elsewhere}" (node ${dealtTo?.index})`)
})

test('of a node that is away the projections stand still: the others say so, and stay ready', async () => {
  const parts = rig()
  const { daemon, isHere, seen } = nodesOf(parts)(0)
  await daemon.start()
  for (let n = 0; n < 5; n++) parts.events.append('a', n)
  await parts.clock.advance(120_000)
  const elsewhere = NAMES.filter((name) => !isHere(name))
  expect(elsewhere.length).toBeGreaterThan(0)
  for (const name of elsewhere) {
    expect(seen(name)).toEqual([])
    const { dealtTo, lagMs } = projectionOf(daemon, name)
    expect(lagMs).toBeGreaterThan(60_000)
    const judged = daemon.health().projections.find((projection) => projection.name === name)
    expect(judged).toMatchObject({ status: 'stalled' })
    expect(judged?.why).toContain(
      `it is dealt to node ${dealtTo?.index} of 3, and this node cannot tell whether that one runs`,
    )
  }
  expect(daemon.health()).toMatchObject({ live: true, ready: true, reasons: [] })
  const waiting = daemon.waitUntilProjected({ projections: elsewhere.slice(0, 1), timeoutMs: 1_000 })
  await expect(parts.clock.run(waiting)).rejects.toThrow(/is standby, dealt to node \d of 3/)
})

test('the node that has a projection does what is asked of it from anywhere, and no other does', async () => {
  const parts = rig()
  let resets = 0
  const reset = (): void => {
    resets++
  }
  const first = nodesOf(parts)(0, 2, { reset })
  await first.daemon.start()
  parts.events.append('a', 1)
  const name = NAMES.find((each) => !first.isHere(each))
  if (name === undefined) throw new Error('node 1 has something')
  const operations = createOperations({ checkpoints: parts.checkpoints, source: parts.events })
  const ask = { projection: name, who: 'ann', why: 'wrong sums' }
  await parts.clock.advance(2_000)
  const early = operations.rebuild({ ...ask, timeoutMs: 1 })
  await expect(early).rejects.toMatchObject({ code: 'TIDEMARK_OPERATION_PENDING' })
  await parts.clock.advance(20_000)
  expect(projectionOf(first.daemon, name).asked).toMatchObject({ operation: 'rebuild' })
  await parts.clock.run(operations.pause(ask))
  await parts.clock.advance(20_000)
  expect(stateOf(first.daemon, name)).toBe('paused')
  expect(resets).toBe(0)
  await parts.clock.run(operations.resume(ask))
  const second = nodesOf(parts)(1, 2, { reset })
  await second.daemon.start()
  await parts.clock.until(() => resets === 1)
  await parts.clock.until(() => stateOf(first.daemon, name) !== 'paused')
  await parts.clock.run(first.daemon.waitUntilProjected({ projections: [name] }))
  expect(second.seen(name)).toEqual([1n])
  expect(first.seen(name)).toEqual([])
})

test('what is asked of a paused projection is left to its node, also by one whose look at it has failed', async () => {
  const parts = rig()
  let isFailing = false
  let resets = 0
  const projections = NAMES.map((name) =>
    recording(name, {
      reset: () => {
        resets++
      },
    }),
  )
  const checkpoints = alteredCheckpoints(parts.checkpoints, {
    open: async (unit, first) => {
      if (isFailing) throw new TransientError('connection reset')
      return await parts.checkpoints.open(unit, first, never())
    },
    isTransient: (error) => error instanceof TransientError,
  })
  const running = parts.daemon(projections, { checkpoints, nodes: { index: 0, of: 2 } })
  await running.start()
  await parts.clock.advance(2_000)
  const name = NAMES.find((each) => projectionOf(running, each).dealtTo?.isHere === false)
  if (name === undefined) throw new Error('node 1 has something')
  const operations = createOperations({ checkpoints: parts.checkpoints, source: parts.events })
  const ask = { projection: name, who: 'ann', why: 'wrong sums' }
  await operations.pause(ask)
  await parts.clock.advance(2_000)
  parts.events.append('a', 1)
  isFailing = true
  await parts.clock.advance(5_000)
  isFailing = false
  await expect(operations.rebuild({ ...ask, timeoutMs: 1 })).rejects.toMatchObject({
    code: 'TIDEMARK_OPERATION_PENDING',
  })
  await parts.clock.advance(20_000)
  expect(projectionOf(running, name).asked).toMatchObject({ operation: 'rebuild' })
  expect(resets).toBe(0)
})

test('two nodes with the same number, or another count, handle nothing twice', async () => {
  const parts = rig()
  const node = nodesOf(parts)
  const nodes = [node(0), node(0), node(1), node(2), node(1, 2)]
  for (const { daemon } of nodes) await daemon.start()
  for (let n = 0; n < 50; n++) {
    parts.events.append('a', n)
    if (n % 7 === 0) await parts.clock.settle()
  }
  for (const { daemon } of nodes) await parts.clock.run(daemon.waitUntilProjected())
  for (const name of NAMES) {
    const handled = nodes.flatMap(({ seen }) => seen(name))
    expect(handled.toSorted((a, b) => Number(a - b))).toEqual(numbers(50))
    expect(positionOf(nodes[0]?.daemon ?? expect.fail(), name)).toBe(50n)
  }
})
