import { createWatch, InvalidOptionError, type Logger, type WatchOptions } from '@tidemark/core'
import { afterEach, expect, test } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import { startOn } from '../../support/start.ts'
import { WatchedStore } from '../../support/watch-scenario.ts'

const watches: { stop(): Promise<void> }[] = []
const clock = new FakeClock()
afterEach(async () => {
  for (const watch of watches.splice(0)) await clock.run(watch.stop())
  expect(clock.sleeping, 'timers left behind').toBe(0)
})

/** A store in which position 2 is open, and `loop` has come to 1. */
function storeWithGap(): WatchedStore {
  const store = new WatchedStore()
  store.visible.set(1n, 'a')
  store.visible.set(3n, 'a')
  store.settled = 1n
  store.head = 3n
  store.checkpoints.set('loop', 1n)
  return store
}

async function watched(
  store: WatchedStore,
  { types, ...options }: Partial<WatchOptions> & { readonly types?: readonly string[] | 'all' } = {},
) {
  const lines: string[] = []
  const say = (line: string): void => void lines.push(line)
  const logger: Logger = { info: say, warn: say, error: say }
  const watch = createWatch({
    source: store.source,
    consumers: store.consumers(types === undefined ? {} : { loop: types }),
    clock,
    logger,
    ...options,
  })
  watches.push(watch)
  await startOn(clock, watch)
  await clock.advance(1_000)
  return { watch, lines }
}

/** The consumer goes past 2 to 3, then to 4; then 2 becomes visible. */
async function lose(store: WatchedStore, type = 'a'): Promise<void> {
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  store.visible.set(4n, 'a')
  store.head = 4n
  store.checkpoints.set('loop', 4n)
  await clock.advance(1_000)
  store.visible.set(2n, type)
  await clock.advance(2_000)
}

test('an event that becomes visible behind the checkpoint is told once, with all that is known of it', async () => {
  const store = storeWithGap()
  const { watch, lines } = await watched(store, { types: 'all' })
  await lose(store)
  await clock.advance(10_000)
  const [lost, ...others] = watch.lost()
  expect(others).toEqual([])
  expect(lost).toMatchObject({
    consumer: 'loops.loop',
    verdict: 'lost',
    position: 2n,
    type: 'a',
    passedAt: '4',
    heldBy: [{ pid: 4_711, applicationName: 'importer' }],
  })
  expect(Number(lost?.missingAt)).toBeLessThan(Number(lost?.visibleAt))
  expect(lines).toEqual([
    'tidemark: consumer "loops.loop" has lost the event at 2 (a): it became visible after the consumer had gone on to 4',
  ])
  expect(watch.status().consumers).toMatchObject([
    { consumer: 'loops.loop', checkpoint: '4', lost: 1, passed: 0 },
  ])
})

test('where nobody has said which types a consumer handles, the event is said to be passed, and no more', async () => {
  const store = storeWithGap()
  const { watch, lines } = await watched(store)
  await lose(store)
  expect(watch.lost()).toMatchObject([{ verdict: 'passed', position: 2n }])
  expect(lines[0]).toContain('whether it handles this type is not known here')
})

test('an event of a type that the consumer does not handle is not lost', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: ['a'] })
  await lose(store, 'b')
  expect(watch.lost()).toEqual([])
})

test('a name in eventTypes of which nothing is stored is in the status, and once in the log, until it is stored', async () => {
  const store = storeWithGap()
  const { watch, lines } = await watched(store, { consumers: store.consumers({ lop: 'all', loop: 'all' }) })
  expect(watch.status().unknownConsumers).toEqual(['loops.lop'])
  expect(lines).toEqual([
    'tidemark: eventTypes names "loops.lop", of which no checkpoint is stored: that consumer has not begun yet, or another ' +
      'name is meant; stored is "loops.loop"',
  ])
  store.checkpoints.set('lop', 1n)
  await clock.advance(1_000)
  expect(watch.status().unknownConsumers).toEqual([])
  expect(lines).toHaveLength(1)
})

test('nothing is said before the consumer has moved on from a checkpoint that had passed the event', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  expect(watch.status().consumers).toMatchObject([{ exposedPositions: 1n }])
  store.visible.set(2n, 'a')
  await clock.advance(5_000)
  expect(watch.lost()).toEqual([])
  expect(watch.status().consumers).toMatchObject([{ unconfirmed: 1 }])
  store.visible.set(4n, 'a')
  store.head = 4n
  store.checkpoints.set('loop', 4n)
  await clock.advance(1_000)
  expect(watch.lost()).toMatchObject([{ position: 2n }])
})

test('a position that is proven empty was harmless', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  expect(watch.status().consumers).toMatchObject([{ exposedPositions: 1n }])
  store.settled = 3n
  await clock.advance(3_000)
  expect(watch.status().consumers).toMatchObject([{ exposedPositions: 0n, lost: 0, cannotTell: {} }])
})

test('what was exposed in another run of the server is not judged', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  store.incarnation = 'second'
  await lose(store)
  expect(watch.lost()).toEqual([])
  expect(watch.status().begunAnew).toBe(1)
})

test('a consumer that was set back and has passed the event again is not accused', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  store.checkpoints.set('loop', 1n)
  store.visible.set(2n, 'a')
  await clock.advance(1_000)
  store.visible.set(4n, 'a')
  store.head = 4n
  store.checkpoints.set('loop', 4n)
  await clock.advance(5_000)
  expect(watch.lost()).toEqual([])
  expect(watch.status().consumers).toMatchObject([{ cannotTell: { went_back: 1 } }])
})

test('a consumer whose row was written anew, and says the same, is not accused: it may have come up again', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  store.revisions.set('loop', 'written once more')
  store.visible.set(2n, 'a')
  await clock.advance(5_000)
  expect(watch.lost()).toEqual([])
  expect(watch.status().consumers).toMatchObject([{ cannotTell: { rewritten: 1 } }])
})

test('an event that appears as a part of the table is attached is not called lost', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  store.layout = 'one part more'
  store.visible.set(2n, 'a')
  await clock.advance(5_000)
  expect(watch.lost()).toEqual([])
  expect(watch.status().consumers).toMatchObject([{ cannotTell: { rearranged: 1 } }])
})

test('the checkpoints are read before the events of the same look, each time', async () => {
  const store = storeWithGap()
  const calls: string[] = []
  const { source } = store
  const consumers = store.consumers()
  await watched(store, {
    source: {
      ...source,
      look: (request) => {
        calls.push('look')
        return source.look(request)
      },
    },
    consumers: {
      ...consumers,
      read: async (signal) => {
        const read = await consumers.read(signal)
        calls.push('read')
        return read
      },
    },
  })
  // The start has read them once more.
  const [first, ...pairs] = calls
  expect(first).toBe('read')
  expect(pairs.length).toBeGreaterThan(4)
  expect(pairs.filter((call, index) => call !== (index % 2 === 0 ? 'read' : 'look'))).toEqual([])
})

test('looks that fail are told of once, and go on when that passes', async () => {
  const store = storeWithGap()
  const { watch, lines } = await watched(store)
  store.failure = new Error('connection refused')
  await clock.advance(5_000)
  expect(watch.status().state).toBe('failing')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('connection refused')
  store.failure = undefined
  await clock.advance(10_000)
  expect(watch.status()).toMatchObject({ state: 'watching', error: undefined })
})

test('it says that it has stopped, also where that comes in the middle of a look', async () => {
  const store = storeWithGap()
  const gate = { open: (): void => {} }
  const { watch } = await watched(store, {
    source: {
      ...store.source,
      look: async ({ above }) => {
        await new Promise<void>((resolve) => {
          gate.open = resolve
        })
        return { appeared: [], unseen: [], visible: [], through: above, layout: undefined }
      },
    },
  })
  const stopped = watch.stop()
  gate.open()
  await clock.run(stopped)
  expect(watch.status().state).toBe('stopped')
})

test('lag in seconds is the age of the oldest event that waits, where it is known which types the consumer handles', async () => {
  const store = storeWithGap()
  store.appendedAtMs = clock.nowMs() - 5_000
  store.visible.set(2n, 'b')
  store.settled = 3n
  const { watch } = await watched(store, { types: ['a'] })
  const lag = (): number | undefined => watch.status().consumers[0]?.lagMs
  const atFirst = lag() ?? 0
  expect(atFirst).toBeGreaterThanOrEqual(5_000)
  await clock.advance(10_000)
  expect(lag()).toBe(atFirst + 10_000)
  store.checkpoints.set('loop', 3n)
  await clock.advance(2_000)
  expect(lag()).toBe(0)
})

test('lag in seconds is absent where nobody has said which types the consumer handles, and without append times', async () => {
  const timed = storeWithGap()
  timed.appendedAtMs = clock.nowMs()
  const { watch: untyped } = await watched(timed)
  const { watch: untimed } = await watched(storeWithGap(), { types: 'all' })
  for (const watch of [untyped, untimed]) expect(watch.status().consumers[0]?.lagMs).toBeUndefined()
})

test('the age of a checkpoint counts from its last move', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store)
  const age = (): number => watch.status().consumers[0]?.ageMs ?? 0
  await clock.advance(60_000)
  expect(age()).toBeGreaterThan(60_000)
  store.checkpoints.set('loop', 3n)
  await clock.advance(1_000)
  expect(age()).toBeLessThanOrEqual(1_000)
})

test('JSON of the status has its positions as texts', async () => {
  const { watch } = await watched(storeWithGap())
  const { consumers } = JSON.parse(JSON.stringify(watch.status()))
  expect(consumers).toMatchObject([{ consumer: 'loops.loop', exposedPositions: '0', lagPositions: '0' }])
})

test('JSON of lost events has their positions as texts', async () => {
  const store = storeWithGap()
  const { watch } = await watched(store, { types: 'all' })
  await lose(store)
  expect(JSON.parse(JSON.stringify(watch.lost()))).toMatchObject([{ position: '2', passedAt: '4' }])
})

test.each<[string, Partial<WatchOptions>, string]>([
  ['no consumers', { consumers: [] }, 'consumers'],
  [
    'two places of one name',
    { consumers: [new WatchedStore().consumers(), new WatchedStore().consumers()] },
    'consumers',
  ],
  ['a pause of 0', { lookIntervalMs: 0 }, 'lookIntervalMs'],
  ['a share above 1', { timeShare: 2 }, 'timeShare'],
  ['a ledger that is none', { ledger: 'tidemark' as never }, 'ledger'],
  [
    'types of a source that knows none',
    {
      source: { ...new WatchedStore().source, filtersByType: false },
      consumers: new WatchedStore().consumers({ loop: ['a'] }),
    },
    'consumers.eventTypes',
  ],
])('refuses %s', (_, options, option) => {
  const store = new WatchedStore()
  const make = (): unknown => createWatch({ source: store.source, consumers: store.consumers(), ...options })
  expect(make).toThrow(InvalidOptionError)
  expect(make).toThrow(option)
})

test.each<[string, Partial<WatchOptions>, string]>([
  [
    'a source that cannot be watched',
    { source: {} as never },
    'watchedPostgresEvents(...) or watchedEsdbEvents(...)',
  ],
  ['no consumers', { consumers: [] }, 'postgresConsumers(...) or esdbConsumers(...)'],
  ['consumers that are none', { consumers: {} as never }, 'postgresConsumers(...) or esdbConsumers(...)'],
])('a refusal of %s names what makes it for each store', (_, options, names) => {
  const store = new WatchedStore()
  const make = (): unknown => createWatch({ source: store.source, consumers: store.consumers(), ...options })
  expect(make).toThrow(names)
})
