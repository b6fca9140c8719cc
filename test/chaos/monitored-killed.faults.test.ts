import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startSlowWriter } from './monitored.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { branch, seeded } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startWriters } from './writers.ts'

const KILLS = 5

const startLoop = (store: ChaosStore): Promise<DaemonProcess> =>
  spawnDaemon({ url: store.url }, 'monitored-loop')

/** The positions that it has said that word of. */
const saidOf = ({ said }: DaemonProcess, word: string): readonly string[] =>
  said.filter((line) => line.startsWith(`${word} `)).flatMap((line) => line.split(' ').slice(1))

interface Seen {
  readonly exposed: number
  readonly lookedTo: number
  readonly cannotTell: Readonly<Record<string, number>>
}

function sees({ said }: DaemonProcess): Seen | undefined {
  const line = said.findLast((each) => each.startsWith('sees '))
  return line === undefined ? undefined : JSON.parse(line.slice('sees '.length))
}

async function append(store: ChaosStore): Promise<string> {
  const { rows } = await store.query(
    `insert into events (id, type) values ('', 'common') returning position::text`,
  )
  return rows[0].position
}

test('a handler whose process is killed again and again: nothing is told that any process was given', async () => {
  const store = await chaosStore()
  const random = seeded('monitor: killed')
  const writers = startWriters(store, { random, writers: 4, pauseMs: 20 })
  const slow = startSlowWriter(store)
  const chosen = branch(random)
  const processes: DaemonProcess[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    const loop = await startLoop(store)
    processes.push(loop)
    if (kill % 2 === 0) await until('it has told something', () => saidOf(loop, 'told').length > 0)
    await sleep(chosen.below(1_200))
    await loop.kill()
  }
  const last = await startLoop(store)
  processes.push(last)
  await Promise.all([writers.stop(), slow.stop()])
  await until('the ledger has nothing that was not told', async () => {
    await append(store)
    const { rows } = await store.query('select from tidemark.lost_events where told_at is null')
    const { exposed, lookedTo = 0 } = sees(last) ?? {}
    return rows.length === 0 && exposed === 0 && lookedTo > 0
  })
  expect(await last.terminate()).toBe(0)

  const handed = new Set(processes.flatMap((loop) => saidOf(loop, 'handed')))
  const told = processes.map((loop) => saidOf(loop, 'told'))
  const belowFirst = processes.flatMap((loop, index) => {
    const [first = '0'] = saidOf(loop, 'handed')
    return (told[index] ?? []).filter((position) => BigInt(position) < BigInt(first))
  })
  const { rows } = await store.query('select position::text from tidemark.lost_events')
  const unsure = processes.map((loop) => sees(loop)?.cannotTell)
  console.info(
    JSON.stringify({ handed: handed.size, told: told.flat().length, belowFirst: belowFirst.length, unsure }),
  )
  expect(told.flat().filter((position) => handed.has(position))).toEqual([])
  expect([...new Set(told.flat())].toSorted()).toEqual(rows.map(({ position }) => position).toSorted())
  expect(rows.length).toBeGreaterThan(0)
}, 180_000)

test('what a killed process had passed is told when it becomes visible later, and is not known when it did before', async () => {
  const store = await chaosStore()
  const first = await startLoop(store)
  const begun = await append(store)
  await until('it has begun', () => saidOf(first, 'handed').includes(begun))
  const writers = [await store.connect(), await store.connect()]
  const open: string[] = []
  for (const writer of writers) {
    await writer.query('begin')
    const { rows } = await writer.query(
      `insert into events (id, type) values ('', 'common') returning position::text`,
    )
    open.push(rows[0].position)
  }
  const [before, later] = open
  const passed = await append(store)
  await until('both are passed, and that is kept', async () => {
    const { rows } = await store.query(
      'select runs::text, (select max(position)::text from stored) as stored from tidemark.passed_positions',
    )
    return rows[0]?.stored === passed && rows[0].runs.includes(later)
  })
  await first.kill()
  await writers[0]?.query('commit')

  const second = await startLoop(store)
  const given = await append(store)
  await until('it has looked at both', () => sees(second)?.lookedTo === Number(given))
  expect(sees(second)).toMatchObject({ exposed: 1, cannotTell: { restarted: 1 } })
  await writers[1]?.query('commit')
  await until('it is told', async () => {
    await append(store)
    return saidOf(second, 'told').length > 0
  })
  expect(saidOf(second, 'told')).toEqual([later])
  const { rows } = await store.query('select position::text from tidemark.lost_events')
  expect(rows).toEqual([{ position: later }])
  expect(saidOf(first, 'handed')).not.toContain(before)
  for (const writer of writers) await writer.end()
}, 120_000)
