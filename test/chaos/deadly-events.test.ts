import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, onTestFinished, test } from 'vitest'
import { programPath } from '../support/program.ts'
import { append } from './events.ts'
import { judge } from './oracle.ts'
import { type ChaosStore, chaosStore } from './store.ts'

/** Each of the projections has them, and `deadly` ends its process at one. */
const EVENTS = 300
const DEADLY = 150

const CALLS = 'create table calls (n bigserial, events int not null, process int not null)'

async function deadlyStore(): Promise<ChaosStore> {
  const store = await chaosStore()
  await store.query(CALLS)
  await append(store, EVENTS)
  return store
}

type Options = Readonly<Record<string, string>>

function spawnDeadly(store: ChaosStore, options: Options): ChildProcess {
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
async function rests(child: ChildProcess): Promise<boolean> {
  let said = ''
  return await new Promise<boolean>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      said += String(chunk)
      if (said.includes('settled')) resolve(true)
    })
    child.once('exit', () => resolve(false))
  })
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

/** Starts it again each time it has ended, until it comes to rest. */
async function untilItRests(store: ChaosStore, options: Options): Promise<ChildProcess> {
  for (let starts = 0; starts < 12; starts++) {
    const child = spawnDeadly(store, options)
    if (await rests(child)) return child
  }
  throw new Error('it ends again and again')
}

async function calls(store: ChaosStore): Promise<number[]> {
  const { rows } = await store.query('select events from calls order by n')
  return rows.map(({ events }) => events)
}

/** Every projection got each event once and in order, and `deadly` did not get its own. */
async function expectAllBut(store: ChaosStore, left: readonly string[]): Promise<void> {
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

test.each([
  ['process.exit', { how: 'exit', attempts: '1' }],
  ['SIGKILL', { how: 'kill', attempts: '2' }],
  ['out of memory', { how: 'memory', attempts: '3' }],
])(
  'an event that ends the process (%s) is tried as often as it may be, alone, and is then skipped',
  async (_, options) => {
    const store = await deadlyStore()
    const daemon = await untilItRests(store, { ...options, 'on-failure': 'skip' })
    const attempts = Number(options.attempts)
    // The whole batch, a thirty-second of it, and then the event by itself.
    expect(await calls(store)).toEqual([100, expect.any(Number), ...Array(attempts).fill(1)])
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
  },
)

test('under "pause" it stands still, over restarts, until an operator resumes it, and has its attempts anew', async () => {
  const store = await deadlyStore()
  const options = { how: 'kill', attempts: '1', 'on-failure': 'pause' }
  const before = Array.from({ length: EVENTS - DEADLY + 1 }, (_, n) => String(DEADLY + n))
  const paused = await untilItRests(store, options)
  expect(await calls(store)).toHaveLength(3)
  await expectAllBut(store, before)
  await stop(paused)
  const again = spawnDeadly(store, options)
  expect(await rests(again), 'a restart tries it no more').toBe(true)
  expect(await calls(store)).toHaveLength(3)

  await stop(again)
  const operations = createOperations({ checkpoints: postgresCheckpoints({ pool: store.pool() }) })
  const asked = { projection: 'deadly', who: 'ann', why: 'mended' }
  await operations.pause(asked)
  await operations.resume(asked)
  expect(await rests(spawnDeadly(store, options)), 'it is tried anew').toBe(false)
  expect(await calls(store)).toHaveLength(4)
  const mended = await untilItRests(store, { ...options, how: 'lives', attempts: '2' })
  await expectAllBut(store, [])
  await stop(mended)
})

test('two nodes that take over from each other try it no more often', async () => {
  const store = await deadlyStore()
  const options = { how: 'exit', attempts: '2', 'on-failure': 'skip' }
  const node = async (): Promise<void> => {
    const child = await untilItRests(store, options)
    await stop(child)
  }
  await Promise.all([node(), node()])
  const alone = (await calls(store)).filter((events) => events === 1)
  expect(alone).toHaveLength(2)
  await expectAllBut(store, [String(DEADLY)])
  const { rows } = await store.query('select tries from tidemark.dead_letters')
  expect(rows).toEqual([{ tries: 2 }])
})

test('a process that was killed while nothing ended it gives nothing up, and is narrowed for a moment only', async () => {
  const store = await deadlyStore()
  for (let kills = 0; kills < 3; kills++) {
    const child = spawnDeadly(store, { how: 'lives', attempts: '1', 'on-failure': 'skip', 'batch-size': '5' })
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await append(store, 50)
  const last = await untilItRests(store, { how: 'lives', attempts: '1', 'on-failure': 'skip' })
  await expectAllBut(store, [])
  const { rows } = await store.query('select count(*)::int as letters from tidemark.dead_letters')
  expect(rows).toEqual([{ letters: 0 }])
  await stop(last)
})
