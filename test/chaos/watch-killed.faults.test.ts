import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startSlowWriter } from './monitored.ts'
import { judge } from './oracle.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { branch, seeded } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startPlainLoop } from './watched.ts'
import { startWriters } from './writers.ts'

const KILLS = 5

/** So that many a kill comes while a loss is being written, or between telling it and marking that. */
const SLOW_LEDGER = `
  create function tidemark.slowly() returns trigger language plpgsql
    as $$ begin perform pg_sleep(random() * 0.2); return null; end $$;
  create trigger slowly after insert or update on tidemark.lost_events
    for each statement execute function tidemark.slowly()`

const startWatch = (store: ChaosStore): Promise<DaemonProcess> => spawnDaemon({ url: store.url }, 'watch')

/** What it told, a list of positions for each time. */
const toldBy = ({ said }: DaemonProcess): readonly (readonly string[])[] =>
  said.filter((line) => line.startsWith('told ')).map((line) => line.split(' ').slice(1))

interface Seen {
  readonly exposed: number
  readonly cannotTell: Readonly<Record<string, number>>
}

/** At its newest look. */
function sees({ said }: DaemonProcess): Seen | undefined {
  const line = said.findLast((each) => each.startsWith('sees '))
  return line === undefined ? undefined : JSON.parse(line.slice('sees '.length))
}

interface Kept {
  readonly position: string
  readonly told: boolean
}

async function keptIn(store: ChaosStore): Promise<readonly Kept[]> {
  const { rows } = await store.query(
    'select position::text, told_at is not null as told from tidemark.lost_events',
  )
  return rows
}

async function append(store: ChaosStore): Promise<string> {
  const { rows } = await store.query(
    `insert into events (id, type) values ('', 'common') returning position::text`,
  )
  return rows[0].position
}

test('a watch whose process is killed again and again keeps each loss once, tells it, and accuses nobody falsely', async () => {
  const store = await chaosStore()
  const random = seeded('watch: killed')
  await startPlainLoop(store, { name: 'plain' })
  const writers = startWriters(store, { random, writers: 3 })
  const slow = startSlowWriter(store)
  const chosen = branch(random)
  const killed: DaemonProcess[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    const watch = await startWatch(store)
    if (kill === 0) await store.query(SLOW_LEDGER)
    await until('it has told something', () => toldBy(watch).length > 0)
    await sleep(chosen.below(600))
    await watch.kill()
    killed.push(watch)
  }
  const last = await startWatch(store)
  await Promise.all([writers.stop(), slow.stop()])
  await until('the loop has come to the end', async () => {
    const { rows } = await store.query(
      'select position = (select max(position) from events) as done from loops',
    )
    return rows[0].done
  })
  // What a killed one has written and not told is told 10 s later.
  await until('all that is kept was told', async () => (await keptIn(store)).every(({ told }) => told))
  expect(await last.terminate()).toBe(0)

  const kept = (await keptIn(store)).map(({ position }) => position)
  const told = [...killed, last].map(toldBy)
  const everTold = told.flat(2)
  const { lost } = await judge({ name: 'plain' }, store)
  // Told in the very moment in which the process died: the ledger does not know it.
  const mayBeRepeated = new Set(told.slice(0, -1).flatMap((batches) => batches.at(-1) ?? []))
  const repeated = everTold.filter((position, index) => everTold.indexOf(position) !== index)
  const byAnother = told.slice(1).map((batches) => batches[0]?.length ?? 0)
  console.info(
    JSON.stringify({ lost: lost.length, kept: kept.length, told: everTold.length, repeated, byAnother }),
  )
  expect(kept.length).toBeGreaterThan(0)
  expect(new Set(kept).size).toBe(kept.length)
  expect(kept.filter((position) => !lost.includes(position))).toEqual([])
  expect([...new Set(everTold)].toSorted()).toEqual(kept.toSorted())
  expect(repeated.filter((position) => !mayBeRepeated.has(position))).toEqual([])
  for (const { said } of [...killed, last]) expectLogged(said)
}, 180_000)

/** A line of the log for each time that it told something; the last one may be missing where it was killed. */
function expectLogged(said: readonly string[]): void {
  const told = said.filter((line) => line.startsWith('told ')).length
  const logged = said.filter((line) => line.startsWith('log ') && line.includes('has lost')).length
  expect([told, told - 1]).toContain(logged)
}

test('of what was open while the watch was killed the next one cannot tell; what it sees itself it tells', async () => {
  const store = await chaosStore()
  await startPlainLoop(store, { name: 'plain' })
  const writer = await store.connect()
  const insert = async (): Promise<string> => {
    const { rows } = await writer.query(
      `insert into events (id, type) values ('', 'common') returning position::text`,
    )
    return rows[0].position
  }
  const untilPassed = (position: string): Promise<unknown> =>
    until(`the loop has passed ${position}`, async () => {
      const { rows } = await store.query('select position >= $1 as passed from loops', [position])
      return rows[0].passed
    })
  const first = await startWatch(store)
  await writer.query('begin')
  const open = await insert()
  await untilPassed(await append(store))
  await first.kill()

  const second = await startWatch(store)
  await until('it sees the number', () => sees(second)?.exposed === 1)
  await writer.query('commit')
  await until('it has seen the event', () => sees(second)?.cannotTell.first_sight === 1)

  await writer.query('begin')
  const seen = await insert()
  await untilPassed(await append(store))
  await until('it sees the number', () => sees(second)?.exposed === 1)
  await writer.query('commit')
  await until('it is told', async () => {
    await untilPassed(await append(store))
    return toldBy(second).flat().includes(seen)
  })
  await writer.end()
  expect((await keptIn(store)).map(({ position }) => position)).toEqual([seen])
  expect(toldBy(second).flat()).not.toContain(open)
}, 120_000)
