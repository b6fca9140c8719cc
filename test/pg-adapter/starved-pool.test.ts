import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

test('polls that get no connection from a pool that is used up are told, while they wait', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  const pool = db.newPool({ max: 2 })
  const warnings: string[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, wakeUps: 'none' }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'balances')],
    logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
    staleAfterMs: 200,
  })
  await events.append()
  await daemon.waitUntilProjected()
  const held = await Promise.all([pool.connect(), pool.connect()])
  await eventually(() => warnings).toEqual([
    expect.stringMatching(/events is stale: .*; a poll has waited \d+\.\d s for a connection: /),
  ])
  expect(daemon.status().highWater.unanswered?.waitsFor).toBe('connection')
  for (const client of held) client.release()
  const last = await events.append()
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'balances')).toContain(last)
  await eventually(() => warnings.at(-1)).toContain('is no longer stale')
})
