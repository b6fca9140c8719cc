import { InvalidOptionError, type Logger, type LossMonitorOptions, monitorHandler } from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import '@opentelemetry/api'
import { afterEach, expect, test } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import { WatchedStore } from '../../support/watch-scenario.ts'

const monitors: { stop(): Promise<void> }[] = []
const clock = new FakeClock()
afterEach(async () => {
  for (const monitor of monitors.splice(0)) await clock.run(monitor.stop())
  expect(clock.sleeping, 'timers left behind').toBe(0)
})

/** A store of which these events are visible, and everything is settled. */
function storeWith(...positions: bigint[]): WatchedStore {
  const store = new WatchedStore()
  show(store, ...positions)
  return store
}

function show(store: WatchedStore, ...positions: bigint[]): void {
  for (const position of positions) {
    store.visible.set(position, 'a')
    if (position > store.head) store.head = position
  }
  store.settled = store.head
}

function monitored(
  store: WatchedStore,
  {
    isFirst = true,
    ...options
  }: Partial<LossMonitorOptions<bigint | readonly bigint[]>> & { readonly isFirst?: boolean } = {},
) {
  const lines: string[] = []
  const say = (line: string): void => void lines.push(line)
  const logger: Logger = { info: say, warn: say, error: say }
  const monitor = monitorHandler<bigint | readonly bigint[]>({
    projection: 'orders',
    source: store.source,
    position: (item) => item,
    eventTypes: 'all',
    ...(isFirst ? { from: 0n } : {}),
    clock,
    logger,
    ...options,
  })
  monitors.push(monitor)
  const handle = monitor.wrap((item: bigint | readonly bigint[]) => item)
  const lost = (): bigint[] => monitor.lost().map(({ position }) => position)
  const look = async (): Promise<void> => {
    // What it still imports takes no time of the clock's.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(3_000)
  }
  return { monitor, handle, lines, lost, look }
}

test('an event that was never handed over is told once, when the consumer has read on', async () => {
  const store = storeWith(1n, 2n, 3n)
  const { monitor, handle, lines, lost, look } = monitored(store)
  expect([1n, 3n].map(handle)).toEqual([1n, 3n])
  await look()
  expect(lost()).toEqual([])
  expect(monitor.status()).toMatchObject({
    state: 'watching',
    unconfirmed: 1,
    floor: 0n,
    handedTo: 3n,
    lookedTo: 3n,
  })
  show(store, 4n)
  handle(4n)
  await look()
  expect(monitor.lost()).toMatchObject([
    { consumer: 'orders', verdict: 'lost', position: 2n, type: 'a', passedAt: '3', missingAt: undefined },
  ])
  expect(lines).toEqual([
    'tidemark: consumer "orders" has lost the event at 2 (a): it is visible, and the consumer went on to 3 without it',
  ])
  expect(monitor.status()).toMatchObject({ lost: 1, passed: 0, unconfirmed: 0, error: undefined })
})

test('an event that a look had not seen yet is told with who held its number', async () => {
  const store = storeWith(1n, 3n)
  store.settled = 1n
  const { monitor, handle, look } = monitored(store)
  handle([1n, 3n])
  await look()
  expect(monitor.status()).toMatchObject({ exposedPositions: 1n, unconfirmed: 0 })
  store.visible.set(2n, 'a')
  await look()
  show(store, 4n)
  handle(4n)
  await look()
  expect(monitor.lost()).toMatchObject([{ position: 2n, passedAt: '3', heldBy: [{ pid: 4_711 }] }])
  expect(monitor.lost()[0]?.missingAt).toBeInstanceOf(Date)
})

test('a consumer that goes back and is handed the event has not lost it; told before, it is taken back', async () => {
  const store = storeWith(1n, 2n, 3n)
  const { monitor, handle, lost, look } = monitored(store)
  handle([1n, 3n])
  await look()
  expect(monitor.status()).toMatchObject({ unconfirmed: 1 })
  // As after a handler that failed.
  handle([2n, 3n])
  show(store, 5n, 6n)
  handle(6n)
  await look()
  expect(lost()).toEqual([])
  show(store, 7n)
  handle(7n)
  await look()
  expect(lost()).toEqual([5n])
  handle([5n, 6n, 7n])
  await look()
  expect(lost()).toEqual([])
  expect(monitor.status()).toMatchObject({ lost: 1, handedLater: 1 })
})

test.each([
  { eventTypes: ['a'], verdicts: ['lost'] },
  { eventTypes: ['b'], verdicts: [] },
  { eventTypes: undefined, verdicts: ['passed'] },
])('of a handler of the types $eventTypes', async ({ eventTypes, verdicts }) => {
  const store = storeWith(1n, 2n, 3n)
  const { monitor, handle, look } = monitored(store, { eventTypes } as Partial<
    LossMonitorOptions<bigint | readonly bigint[]>
  >)
  handle([1n, 3n])
  await look()
  show(store, 4n)
  handle(4n)
  await look()
  expect(monitor.lost().map(({ verdict }) => verdict)).toEqual(verdicts)
})

test('nothing is said of what stands below the first event; with the checkpoint given it is', async () => {
  for (const { from, said } of [
    { from: undefined, said: [] },
    { from: 1n, said: [2n, 3n] },
  ]) {
    const store = storeWith(1n, 2n, 3n, 4n)
    const { handle, lost, look } = monitored(store, from === undefined ? { isFirst: false } : { from })
    handle(4n)
    await look()
    show(store, 5n)
    handle(5n)
    await look()
    expect(lost()).toEqual(said)
  }
})

test.each([
  { name: 'the same types', eventTypes: 'all', said: [2n], unsure: { restarted: 1 } },
  // What it was not given then, it was not meant to get.
  { name: 'other types', eventTypes: ['a'], said: [], unsure: { first_sight: 1 } },
] as const)(
  'what a former process had passed, and the ledger has kept, is told when it becomes visible: of a handler of $name',
  async ({ eventTypes, said, unsure }) => {
    const store = storeWith(1n, 3n, 5n)
    store.settled = 1n
    const ledger = inMemoryCheckpoints()
    const first = monitored(store, { ledger })
    first.handle([1n, 3n, 5n])
    await first.look()
    await clock.run(first.monitor.stop())
    // While no process runs: it may have been given to the one before.
    store.visible.set(4n, 'a')

    const second = monitored(store, { ledger, eventTypes, isFirst: false })
    show(store, 6n)
    store.settled = 1n
    second.handle(6n)
    await second.look()
    expect(second.monitor.status()).toMatchObject({ floor: 5n, exposedPositions: 1n })
    store.visible.set(2n, 'a')
    await second.look()
    show(store, 7n)
    second.handle(7n)
    await second.look()
    expect(second.lost()).toEqual(said)
    expect(second.monitor.status().cannotTell).toEqual(unsure)
  },
)

test.each([
  { name: 'has no position', item: 'x', found: 'found "x"' },
  { name: 'was never appended', item: 1_764_000_000_000n, found: 'where 3 is the newest' },
])(
  'what the handler is given that $name is told, and nothing is said to be lost by it',
  async ({ item, found }) => {
    const store = storeWith(1n, 2n, 3n)
    const { monitor, handle, lines, lost, look } = monitored(store)
    handle([1n, 3n])
    await look()
    expect(handle(item as never)).toBe(item)
    await look()
    expect(lines.join()).toContain(found)
    expect(monitor.status()).toMatchObject({ begunAnew: 1, cannotTell: { begun_anew: 1 } })
    show(store, 4n)
    handle(4n)
    await look()
    expect(lost()).toEqual([])
    expect(monitor.status()).toMatchObject({ state: 'watching', floor: 3n, error: undefined })
  },
)

test('another run of the store begins anew; while looks fail, nothing is missed', async () => {
  const store = storeWith(1n, 2n, 3n)
  const { monitor, handle, lost, look } = monitored(store)
  handle([1n, 3n])
  await look()
  store.incarnation = 'second'
  await look()
  expect(monitor.status()).toMatchObject({ begunAnew: 1, cannotTell: { begun_anew: 1 }, handedTo: undefined })
  handle(3n)
  await look()
  store.failure = new Error('gone')
  show(store, 4n, 5n)
  handle(5n)
  await look()
  expect(monitor.status()).toMatchObject({ state: 'failing', error: { message: 'gone' } })
  store.failure = undefined
  await clock.advance(20_000)
  show(store, 6n)
  handle(6n)
  await look()
  expect(lost()).toEqual([4n])
})

test('too much that is handed over while no look succeeds begins anew', async () => {
  const store = storeWith(1n)
  store.failure = new Error('gone')
  const { monitor, handle } = monitored(store)
  for (let position = 0n; position < 200_004n; position += 2n) handle(position)
  expect(monitor.status()).toMatchObject({ begunAnew: 1 })
})

test('options that cannot work are refused', () => {
  const source = new WatchedStore().source
  const good = { projection: 'orders', source, position: () => 1n }
  const bad: readonly [Record<string, unknown>, string][] = [
    [{ projection: '' }, 'projection'],
    [{ position: undefined }, 'position'],
    [{ eventTypes: 'a' }, 'eventTypes'],
    [{ eventTypes: ['a'], source: { ...source, filtersByType: false } }, 'eventTypes'],
    [{ from: 5 }, 'from'],
    [{ lookIntervalMs: 0 }, 'lookIntervalMs'],
  ]
  for (const [options, option] of bad) {
    expect(() => monitorHandler({ ...good, ...options } as never)).toThrow(
      expect.objectContaining({ option }) as InvalidOptionError,
    )
  }
  expect(() => monitorHandler({ ...good, polls: 1 } as never)).toThrow(InvalidOptionError)
})
