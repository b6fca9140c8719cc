import {
  createWatch,
  type Logger,
  UnsupportedByStoreError,
  type Watch,
  type WatchOptions,
} from '@tidemark/core'
import type { LostEvents } from '@tidemark/core/adapter'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { afterEach, expect, test } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import { startOn } from '../../support/start.ts'
import { WatchedStore } from '../../support/watch-scenario.ts'

const watches: Watch[] = []
const clock = new FakeClock()
afterEach(async () => {
  for (const watch of watches.splice(0)) await clock.run(watch.stop())
  expect(clock.sleeping, 'timers left behind').toBe(0)
})

type Ledger = NonNullable<WatchOptions['ledger']>

function ledgerOf(alter: (lostEvents: LostEvents) => Partial<LostEvents> = () => ({})): Ledger {
  const store = inMemoryCheckpoints()
  const { lostEvents } = store
  if (lostEvents === undefined) throw new TypeError('checkpoints in memory have lost events')
  const own: LostEvents = {
    record: (...args) => lostEvents.record(...args),
    claim: (...args) => lostEvents.claim(...args),
    told: (...args) => lostEvents.told(...args),
    totals: (...args) => lostEvents.totals(...args),
    list: (...args) => lostEvents.list(...args),
    keepPassed: (...args) => lostEvents.keepPassed(...args),
    passed: (...args) => lostEvents.passed(...args),
  }
  return { name: 'kept', lostEvents: { ...own, ...alter(own) }, isTransient: () => true }
}

interface Watched {
  readonly watch: Watch
  readonly lines: readonly string[]
  readonly reported: readonly bigint[]
}

async function watched(store: WatchedStore, ledger: Ledger): Promise<Watched> {
  const lines: string[] = []
  const reported: bigint[] = []
  const say = (line: string): void => void lines.push(line)
  const logger: Logger = { info: say, warn: say, error: say }
  const watch = createWatch({
    source: store.source,
    consumers: store.consumers({ loop: 'all' }),
    telemetry: {
      consumerLostEvents: ({ events }) => void reported.push(...events.map(({ position }) => position)),
    },
    ledger,
    clock,
    logger,
  })
  watches.push(watch)
  await startOn(clock, watch)
  await clock.advance(1_000)
  return { watch, lines, reported }
}

/** Of a store that does not answer, for as long as it is waited for. */
function noAnswer(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}

/** A store in which the numbers 2 and 3 are open, and `loop` has passed neither. */
function storeWithGap(): WatchedStore {
  const store = new WatchedStore()
  for (const position of [1n, 4n]) store.visible.set(position, 'a')
  store.settled = 1n
  store.head = 4n
  store.checkpoints.set('loop', 1n)
  return store
}

/** The consumer goes past the open numbers, and on. */
async function pass(store: WatchedStore): Promise<void> {
  for (const position of [4n, 5n, 6n]) {
    store.visible.set(position, 'a')
    store.head = position
    store.checkpoints.set('loop', position)
    await clock.advance(1_000)
  }
}

async function show(store: WatchedStore, position: bigint): Promise<void> {
  store.visible.set(position, 'a')
  await clock.advance(2_000)
}

const positionsOf = ({ watch }: Watched): readonly bigint[] => watch.lost().map(({ position }) => position)
const countedBy = ({ watch }: Watched): number | undefined => watch.status().consumers[0]?.lost

test('what was found is there after a restart, and is told once for ever', async () => {
  const store = storeWithGap()
  const ledger = ledgerOf()
  const first = await watched(store, ledger)
  await pass(store)
  await show(store, 2n)
  expect(first.reported).toEqual([2n])
  expect(first.lines).toHaveLength(1)
  await clock.run(first.watch.stop())

  const second = await watched(store, ledger)
  await clock.advance(60_000)
  expect(positionsOf(second)).toEqual([2n])
  expect(countedBy(second)).toBe(1)
  expect([second.reported, second.lines]).toEqual([[], []])
})

test('of two watches at once one tells of each event, and both list all', async () => {
  const store = storeWithGap()
  const ledger = ledgerOf()
  const both = [await watched(store, ledger), await watched(store, ledger)]
  await pass(store)
  await show(store, 2n)
  await show(store, 3n)
  await clock.advance(60_000)
  expect(both.flatMap(({ reported }) => reported).toSorted()).toEqual([2n, 3n])
  expect(both.map(positionsOf)).toEqual([
    [2n, 3n],
    [2n, 3n],
  ])
  expect(both.map(countedBy)).toEqual([2, 2])
})

test('what only another watch has seen is listed, and not told again', async () => {
  const store = storeWithGap()
  const ledger = ledgerOf()
  const first = await watched(store, ledger)
  await pass(store)
  // For the second one it is a first sight.
  const second = await watched(store, ledger)
  await show(store, 2n)
  await clock.advance(30_000)
  expect(first.reported).toEqual([2n])
  expect(positionsOf(second)).toEqual([2n])
  expect(second.reported).toEqual([])
})

test('an event is written before it is told, and told once when the ledger answers again', async () => {
  const store = storeWithGap()
  const answers = { isThere: false }
  const ledger = ledgerOf(({ record }) => ({
    record: async (...args) => {
      if (!answers.isThere) throw new Error('the ledger is away')
      return await record(...args)
    },
  }))
  const found = await watched(store, ledger)
  await pass(store)
  await show(store, 2n)
  await clock.advance(5_000)
  expect(found.reported).toEqual([])
  expect(found.lines).toEqual([expect.stringMatching(/cannot be written to kept.*the ledger is away/)])
  expect(found.watch.status()).toMatchObject({ state: 'watching', ledger: { store: 'kept', unwritten: 1 } })
  expect(JSON.parse(JSON.stringify(found.watch.status())).ledger.error.message).toBe('the ledger is away')
  answers.isThere = true
  await clock.advance(30_000)
  expect(found.reported).toEqual([2n])
  expect(found.watch.status().ledger).toEqual({ store: 'kept', unwritten: 0, error: undefined })
})

test('what a process has written and not told before it died is told by the next one', async () => {
  const store = storeWithGap()
  const kept = ledgerOf(({ claim }) => ({
    // As if the time of a claim had passed.
    claim: (source, due, signal) => claim(source, { ...due, claimMs: -1 }, signal),
  }))
  const { lostEvents } = kept
  if (lostEvents === undefined) throw new TypeError('it has lost events')
  const first = await watched(store, {
    ...kept,
    lostEvents: {
      ...lostEvents,
      record: async (...args) => {
        await lostEvents.record(...args)
        return await noAnswer(args[2])
      },
    },
  })
  await pass(store)
  await show(store, 2n)
  expect(first.reported).toEqual([])
  const second = await watched(store, kept)
  expect(second.reported).toEqual([2n])
  await clock.advance(60_000)
  expect(second.reported).toEqual([2n])
})

test('a stop writes what is left, and does not wait for ever for a ledger that does not answer', async () => {
  const store = storeWithGap()
  const found = await watched(
    store,
    ledgerOf(() => ({
      record: (_source, _losses, signal) => noAnswer(signal),
    })),
  )
  await pass(store)
  await show(store, 2n)
  await clock.run(found.watch.stop())
  expect(found.watch.status()).toMatchObject({ state: 'stopped', ledger: { unwritten: 1 } })
})

test('a store that keeps no lost events is refused as a ledger', () => {
  const { name, isTransient } = ledgerOf()
  const make = (): unknown =>
    createWatch({
      source: new WatchedStore().source,
      consumers: new WatchedStore().consumers(),
      ledger: { name, isTransient },
    })
  expect(make).toThrow(UnsupportedByStoreError)
  expect(make).toThrow(/ledger.*kept/s)
})
