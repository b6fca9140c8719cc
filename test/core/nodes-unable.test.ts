import type { CheckpointStore } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { afterEach, expect, test, vi } from 'vitest'
import { unableUnits } from '../../packages/core/src/daemon/unable.ts'
import type { Pulse } from '../../packages/core/src/kernel/pulse.ts'
import { countOf, handledBy, LEASE_MS, NAMES, nodesOf, settled } from './leased-nodes.ts'
import { altered, alteredCheckpoints, projectionOf, type Rig, rig, stopAll, TransientError } from './rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  vi.restoreAllMocks()
})

const MINUTE = 60_000
const forever = (): Promise<never> => new Promise(() => {})

/** The same store, in which one projection cannot be opened. */
function refusing(
  { checkpoints }: Rig,
  name: string,
  error: () => Error | undefined,
): CheckpointStore<undefined> {
  const { leases } = checkpoints
  if (leases === undefined) throw new Error('it has leases')
  return alteredCheckpoints(checkpoints, {
    leases,
    open: async (unit, ...rest) => {
      const refused = unit.projection === name ? error() : undefined
      if (refused) throw refused
      return await checkpoints.open(unit, ...rest)
    },
    isTransient: (thrown) => thrown instanceof TransientError,
  })
}

const isHere = ({ daemon }: ReturnType<ReturnType<typeof nodesOf>>, name: string): boolean | undefined =>
  projectionOf(daemon, name).lease?.isHere

/** How often each unit has changed hands. */
const fences = ({ daemon }: ReturnType<ReturnType<typeof nodesOf>>) =>
  daemon.status().cluster?.units.map(({ unit, fence }) => [unit.projection, fence])

test('a projection that a node cannot open goes to another one, does not come back before it can be, and others stay', async () => {
  const parts = rig()
  const { clock, events } = parts
  let error: Error | undefined
  const node = nodesOf(parts)
  const a = node('a', { store: refusing(parts, 'orders', () => error) })
  await a.daemon.start()
  await settled(parts, [a])
  await clock.run(a.daemon.stop())
  error = new Error('permission denied for table checkpoints')
  const again = node('a', { store: refusing(parts, 'orders', () => error) })
  await again.daemon.start()
  await clock.until(() => isHere(again, 'orders') === true)
  await clock.until(() => isHere(again, 'orders') === false)
  expect(again.lines).toContainEqual(
    expect.stringMatching(
      /^tidemark: node "a" leaves "orders" to others .* could not be opened \d+ times in a row$/,
    ),
  )
  const b = node('b')
  await b.daemon.start()
  events.append('a', 1)
  await clock.until(() => handledBy([again, b], 'orders').length === 1)
  expect(b.seen('orders')).toEqual([1n])
  await clock.until(() => countOf(again) + countOf(b) === NAMES.length)
  const before = fences(b)
  await clock.advance(10 * LEASE_MS)
  expect(fences(b)).toEqual(before)
  error = undefined
  await clock.advance(LEASE_MS)
  await clock.run(b.daemon.stop())
  await clock.until(() => countOf(again) === NAMES.length)
})

test('a passing fault of the store moves nothing, however long it lasts', async () => {
  const parts = rig()
  const { clock } = parts
  const node = nodesOf(parts)
  let error: Error | undefined = new TransientError('connection refused')
  const a = node('a', { store: refusing(parts, 'orders', () => error) })
  const b = node('b', { store: refusing(parts, 'orders', () => error) })
  for (const { daemon } of [a, b]) await daemon.start()
  await clock.advance(10 * MINUTE)
  for (const { lines } of [a, b]) expect(lines.filter((line) => line.includes('to others'))).toEqual([])
  error = undefined
  await clock.until(() => countOf(a) + countOf(b) === NAMES.length)
})

test('where the loop of a projection does not run any more, another node gets it, though the first never says that it has ended', async () => {
  const parts = rig()
  const { clock, events } = parts
  let hangs = false
  const node = nodesOf(parts)
  const source = altered(events, { load: (request) => (hangs ? forever() : events.load(request)) })
  const a = node('a', { source })
  const b = node('b')
  for (const { daemon } of [a, b]) await daemon.start()
  await clock.until(() => countOf(b) > 0)
  await settled(parts, [a, b])
  const own = NAMES.filter(a.has)
  hangs = true
  events.append('a', 1)
  await clock.advance(4 * MINUTE)
  expect(NAMES.filter((name) => isHere(a, name))).toEqual(own)
  await clock.until(() => NAMES.every((name) => b.seen(name).length === 1))
  // What it can work on, as far as anybody knows, it is given instead.
  expect(own.filter((name) => isHere(a, name))).toEqual([])
  await clock.advance(2 * MINUTE)
  expect(own.filter((name) => isHere(a, name))).toEqual([])
  expect(a.lines).toContainEqual(
    expect.stringMatching(
      /to others .* a call of a store has neither an answer nor an error for 30\d\.\d s$/,
    ),
  )
})

test('a handler that takes ten minutes keeps its projection', async () => {
  const parts = rig()
  const { clock, events } = parts
  const node = nodesOf(parts)
  const a = node('a', { handle: () => clock.sleep(10 * MINUTE, new AbortController().signal) })
  const b = node('b')
  for (const { daemon } of [a, b]) await daemon.start()
  await clock.until(() => countOf(b) > 0)
  await settled(parts, [a, b])
  const own = NAMES.filter(a.has)
  await clock.advance(LEASE_MS)
  const before = fences(b)
  events.append('a', 1)
  await clock.run(a.daemon.waitUntilProjected())
  expect(NAMES.filter((name) => isHere(a, name))).toEqual(own)
  expect(fences(b)).toEqual(before)
})

const unit = wholeUnit('orders')
const unableAt = (pulse: Pulse, refusedOpens = 0) =>
  unableUnits(
    [{ unit, vitals: { movedAtMs: 0, waitingSinceMs: undefined, pulse }, refusedOpens }],
    10 * MINUTE,
  )

test.each<[string, Pulse]>([
  ['a handler', { waitsFor: 'handler', sinceMs: 0 }],
  ['an operator', { waitsFor: 'nothing', sinceMs: 0 }],
  ['a timer that is not due', { waitsFor: 'timer', sinceMs: 0, dueMs: 20 * MINUTE }],
  ['events, of which there are none', { waitsFor: 'events', sinceMs: 0 }],
])('a loop that waits for %s can work', (_, pulse) => {
  expect(unableAt(pulse)).toEqual([])
})

test('a loop is lost where a call is not answered for minutes; one whose checkpoint was refused a few times is not', () => {
  expect(unableAt({ waitsFor: 'answer', sinceMs: 0 })).toMatchObject([{ unit, isLost: true }])
  expect(unableAt({ waitsFor: 'events', sinceMs: 0 }, 9)).toEqual([])
  expect(unableAt({ waitsFor: 'events', sinceMs: 0 }, 10)).toMatchObject([{ unit, isLost: false }])
})
