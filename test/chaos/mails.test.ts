import { setTimeout as sleep } from 'node:timers/promises'
import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { append, lastPosition } from './events.ts'
import { type DaemonProcess, spawnDaemon } from './processes.ts'
import { seeded } from './seed.ts'
import { chaosStore } from './store.ts'
import { until } from './until.ts'

const BY = { projection: 'mails', who: 'chaos', why: 'from the start' }

test('a process killed in the middle of a replay has sent nothing again, and the next one sends what is new, once', async () => {
  const random = seeded('killed in a replay')
  const store = await chaosStore()
  const start = (): Promise<DaemonProcess> =>
    spawnDaemon({ url: store.url, projections: 'mails', effects: 'live_only', 'batch-size': '3' })
  const pool = store.pool()
  const operations = createOperations({
    checkpoints: postgresCheckpoints({ pool }),
    source: postgresEvents({ pool, table: 'events' }),
  })
  await append(store, 150)
  let running = await start()
  const sent = async (): Promise<number> =>
    (await store.query('select count(*)::int as n from handled')).rows[0].n
  await until('everything is sent', async () => (await sent()) === 150)
  for (let kill = 0; kill < 4; kill++) {
    await operations.pause(BY)
    await operations.moveTo({ ...BY, position: undefined })
    await operations.resume(BY)
    await append(store, 10)
    await until('it replays', async () => (await operations.list())[0]?.position !== undefined)
    await sleep(random.below(150))
    await running.kill()
    running = await start()
  }
  const last = await lastPosition(store)
  await until('it has come up', async () => (await operations.list())[0]?.position === String(last))
  const { rows } = await store.query('select position::int from handled order by position')
  expect(rows.map(({ position }) => position)).toEqual(Array.from({ length: last }, (_, n) => n + 1))
  await running.terminate()
})
