import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished } from 'vitest'
import { programPath } from '../support/program.ts'
import { append } from './events.ts'
import { judge } from './oracle.ts'
import { type ChaosStore, chaosStore } from './store.ts'

/** Each of the projections has them, and `deadly` ends its process at one. */
export const EVENTS = 300
export const DEADLY = 150

const CALLS = 'create table calls (n bigserial, events int not null, process int not null)'

export async function deadlyStore(): Promise<ChaosStore> {
  const store = await chaosStore()
  await store.query(CALLS)
  await append(store, EVENTS)
  return store
}

type Options = Readonly<Record<string, string>>

export function spawnDeadly(store: ChaosStore, options: Options): ChildProcess {
  const args = Object.entries({ url: store.url, 'deadly-position': String(DEADLY), ...options }).map(
    ([name, value]) => `--${name}=${value}`,
  )
  const memory = options.how === 'memory' ? ['--max-old-space-size=60'] : []
  // What V8 says of its memory is of no use here.
  const child = spawn(process.execPath, [...memory, programPath('deadly-daemon'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** Whether it has come to rest, or else has ended by itself. */
export async function rests(child: ChildProcess): Promise<boolean> {
  let said = ''
  return await new Promise<boolean>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      said += String(chunk)
      if (said.includes('settled')) resolve(true)
    })
    child.once('exit', () => resolve(false))
  })
}

export async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

/** Starts it again each time it has ended, until it comes to rest. */
export async function untilItRests(store: ChaosStore, options: Options): Promise<ChildProcess> {
  for (let starts = 0; starts < 12; starts++) {
    const child = spawnDeadly(store, options)
    if (await rests(child)) return child
  }
  throw new Error('it ends again and again')
}

export async function calls(store: ChaosStore): Promise<number[]> {
  const { rows } = await store.query('select events from calls order by n')
  return rows.map(({ events }) => events)
}

/** Every projection got each event once and in order, and `deadly` did not get its own. */
export async function expectAllBut(store: ChaosStore, left: readonly string[]): Promise<void> {
  for (const name of ['deadly', 'second', 'third']) {
    const { lost, duplicated, outOfOrder, phantom } = await judge({ name }, store)
    expect({ name, lost, duplicated, outOfOrder, phantom }).toEqual({
      name,
      lost: name === 'deadly' ? left : [],
      duplicated: [],
      outOfOrder: [],
      phantom: [],
    })
  }
}

/** It is tried as often as it may be, alone, and is then skipped. */
export async function expectSkippedAlone(options: Options): Promise<void> {
  const store = await deadlyStore()
  const daemon = await untilItRests(store, { ...options, 'on-failure': 'skip' })
  const attempts = Number(options.attempts)
  // The whole batch, that once more, a part of it, and then the event by itself.
  const [first, again, part, ...alone] = await calls(store)
  expect([first, again]).toEqual([100, 100])
  expect(part).toBeLessThan(10)
  expect(alone).toEqual(Array(attempts).fill(1))
  await expectAllBut(store, [String(DEADLY)])
  const { rows } = await store.query(
    `select projection, first_position, events, stage, tries, error->>'code' as code from tidemark.dead_letters`,
  )
  expect(rows).toEqual([
    {
      projection: 'deadly',
      first_position: String(DEADLY),
      events: 1,
      stage: 'handle',
      tries: attempts,
      code: 'TIDEMARK_PROCESS_ENDED',
    },
  ])
  await stop(daemon)
  const { rows: left } = await store.query(
    `select session, suspicion from tidemark.checkpoints where projection = 'deadly'`,
  )
  expect(left).toEqual([{ session: null, suspicion: null }])
}
