import { once } from 'node:events'
import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  calls,
  DEADLY,
  deadlyStore,
  EVENTS,
  expectAllBut,
  expectSkippedAlone,
  rests,
  spawnDeadly,
  stop,
  untilItRests,
} from './deadly.ts'
import { append } from './events.ts'

test.each([
  ['process.exit', { how: 'exit', attempts: '1' }],
  ['out of memory', { how: 'memory', attempts: '3' }],
])(
  'an event that ends the process (%s) is tried as often as it may be, alone, and is then skipped',
  async (_, options) => {
    await expectSkippedAlone(options)
  },
)

test('under "pause" it stands still, over restarts, until an operator resumes it, and has its attempts anew', async () => {
  const store = await deadlyStore()
  const options = { how: 'kill', attempts: '1', 'on-failure': 'pause' }
  const before = Array.from({ length: EVENTS - DEADLY + 1 }, (_, n) => String(DEADLY + n))
  const paused = await untilItRests(store, options)
  expect(await calls(store)).toHaveLength(4)
  await expectAllBut(store, before)
  await stop(paused)
  const again = spawnDeadly(store, options)
  expect(await rests(again), 'a restart tries it no more').toBe(true)
  expect(await calls(store)).toHaveLength(4)

  await stop(again)
  const operations = createOperations({ checkpoints: postgresCheckpoints({ pool: store.pool() }) })
  const asked = { projection: 'deadly', who: 'ann', why: 'mended' }
  await operations.pause(asked)
  await operations.resume(asked)
  expect(await rests(spawnDeadly(store, options)), 'it is tried anew').toBe(false)
  expect(await calls(store)).toHaveLength(5)
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
