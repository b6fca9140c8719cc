import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { eventsOf, PROJECTIONS } from './daemons.ts'
import { judge } from './oracle.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { seeded } from './seed.ts'
import { holdUntilPassed } from './stale.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startWriters } from './writers.ts'

const highWater = { mode: 'stale-threshold', thresholdMs: 30 } as const

const start = (store: ChaosStore, more: Readonly<Record<string, true>> = {}): Promise<DaemonProcess> =>
  spawnDaemon({
    url: store.url,
    projections: PROJECTIONS.map(({ name }) => name).join(),
    'batch-size': '30',
    'handle-ms': '3',
    'stale-threshold-ms': '30',
    ...more,
  })

const operatorOf = (store: ChaosStore) =>
  createOperations({
    checkpoints: postgresCheckpoints({ pool: store.pool() }),
    source: eventsOf(store.pool(), { highWater }),
  })

/** Writers among which transactions stay open, and a daemon that is killed in mid-batch meanwhile; then nobody writes. */
async function loseUnderKills(
  store: ChaosStore,
  seed: string,
  more: Readonly<Record<string, true>> = {},
): Promise<DaemonProcess> {
  const random = seeded(seed)
  const holders = await Promise.all(Array.from({ length: 6 }, () => holdUntilPassed(store)))
  const writers = startWriters(store, { random, writers: 6 })
  const first = await start(store, more)
  for (let batches = 5 + random.below(12); batches >= 0; batches--) await first.says('handling')
  await first.kill()
  const last = await start(store, more)
  await Promise.all(holders.map((holder) => holder.commit()))
  await writers.stop()
  await until('every projection has got to the end', async () => {
    const { rows } = await store.query(
      `select bool_and(coalesce(c.position::bigint >= (select max(e.position) from events e), false)) as is from tidemark.checkpoints c`,
    )
    return rows[0]?.is
  })
  return last
}

async function lostOf(store: ChaosStore): Promise<Record<string, readonly string[]>> {
  const verdicts = await Promise.all(PROJECTIONS.map((projection) => judge(projection, store)))
  return Object.fromEntries(verdicts.map(({ projection, lost }) => [projection, lost]))
}

async function openOf(store: ChaosStore): Promise<Record<string, readonly string[]>> {
  const listed = await operatorOf(store).lateEvents({ state: 'open', limit: 1_000 })
  const of = (name: string): readonly string[] =>
    listed
      .filter(({ units }) => units.some(({ unit }) => unit.projection === name))
      .map(({ position }) => position)
      .reverse()
  return Object.fromEntries(PROJECTIONS.map(({ name }) => [name, of(name)]))
}

async function expectEachOnce(store: ChaosStore): Promise<void> {
  for (const projection of PROJECTIONS) {
    const verdict = await judge(projection, store)
    expect(verdict).toMatchObject({ lost: [], duplicated: [], phantom: [] })
  }
}

test('the late events that are found are those that were lost, and reprocessed each is there once, also under kill -9', async () => {
  const store = await chaosStore()
  const daemon = await loseUnderKills(store, 'late, reprocessed')
  const lost = await lostOf(store)
  expect(lost.all?.length).toBeGreaterThanOrEqual(6)
  await until('all of them are found', async () => {
    const open = await openOf(store)
    return PROJECTIONS.every(({ name }) => (open[name] ?? []).length >= (lost[name] ?? []).length)
  })
  expect(await openOf(store)).toEqual(lost)
  console.info(
    JSON.stringify(Object.fromEntries(Object.entries(lost).map(([name, of]) => [name, of.length]))),
  )
  const handling = daemon.says('handling')
  const reprocessed = operatorOf(store).reprocess({
    from: 0n,
    to: 10_000_000n,
    who: 'ann',
    why: 'the writers are mended',
    timeoutMs: 60_000,
  })
  await handling
  await daemon.kill()
  await start(store)
  expect(await reprocessed).toBe(Object.values(lost).flat().length)
  await expectEachOnce(store)
  expect(await openOf(store)).toEqual({ all: [], rare: [], slow: [] })
})

test('with onLateEvent every event is there once without an operator, also under kill -9', async () => {
  const store = await chaosStore()
  await loseUnderKills(store, 'late, handled', { 'on-late-event': true })
  await until('nothing is lost any more', async () =>
    Object.values(await lostOf(store)).every((lost) => lost.length === 0),
  )
  await expectEachOnce(store)
  const late = await operatorOf(store).lateEvents({ state: 'on_late_event' })
  expect(late.length).toBeGreaterThanOrEqual(6)
})
