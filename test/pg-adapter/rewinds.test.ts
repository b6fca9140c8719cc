import { createDaemon } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  agentOver,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

const db = fileDatabase()

const HALTED = { state: 'halted', error: { code: 'TIDEMARK_STORE_REWOUND' } }

async function projectedEvents(count: number) {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(count)
  const daemon = await startDaemon(options(events))
  await daemon.waitUntilProjected()
  return { events, daemon }
}

const options = (events: EventTable) => ({
  source: postgresEvents({ pool: db.pool, table: events.name }),
  checkpoints: checkpointsBeside(events, db.pool),
  projections: [recorder(events, 'all')],
})

test.each([
  ['an agent without checkpoints', false],
  ['a daemon', true],
])('setval backwards halts %s, which says where the sequence stands', async (_, withCheckpoints) => {
  const { events, daemon } = await projectedEvents(5)
  const status = withCheckpoints
    ? () => daemon.status().highWater
    : await agentOver({ pool: db.pool, table: events.name }).then((agent) => () => agent.status())
  await eventually(status).toMatchObject({ mark: 5n })
  await events.run("select setval('events_position_seq', 2)")
  await eventually(status).toMatchObject({ ...HALTED, mark: 5n })
  expect(String(status().error)).toMatch(/went back from 5 to 2 \(setval\?\); numbers up to 5 are settled/)
})

test('TRUNCATE RESTART IDENTITY below a checkpoint halts the daemon, which says what to do', async () => {
  const { events, daemon } = await projectedEvents(5)
  await events.run('truncate events restart identity')
  await eventually(() => daemon.status().highWater).toMatchObject(HALTED)
  expect(String(daemon.status().highWater.error)).toMatch(
    /checkpoint of "all" stands at 5, but the sequence has only handed out numbers up to 0.*keep the checkpoints, with every daemon stopped:\n {2}UPDATE/s,
  )
})

test('a halted daemon goes on where the operator has decided it may, after a restart', async () => {
  const { events, daemon } = await projectedEvents(5)
  await events.run('truncate events restart identity')
  await eventually(() => daemon.status().highWater).toMatchObject(HALTED)
  await daemon.stop()
  await expect(createDaemon(options(events)).start()).rejects.toMatchObject(HALTED.error)
  await events.run('delete from checkpoints; delete from settled')
  await events.append(2)
  const restarted = await startDaemon(options(events))
  await restarted.waitUntilProjected()
  expect(restarted.status()).toMatchObject({ highWater: { mark: 2n }, projections: [{ position: 2n }] })
})

test('TRUNCATE RESTART IDENTITY of a table that nobody has projected is no rewind', async () => {
  const events = await db.events()
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await events.run('truncate events restart identity')
  await events.append(2)
  await eventually(() => agent.status()).toMatchObject({ state: 'polling', mark: 2n })
})

test('a settled position beyond the sequence, stored by this very server run, is refused at start', async () => {
  const { events, daemon } = await projectedEvents(2)
  // A rolled-back tail: settled above the checkpoint.
  await events.run("select setval('events_position_seq', 9)")
  await eventually(() => daemon.status().highWater.settled).toBe(9n)
  await eventually(async () => {
    const { rows } = await db.pool.query(`select settled from ${events.schema}.settled`)
    return rows[0]?.settled
  }).toBe('9')
  await daemon.stop()
  await events.run("select setval('events_position_seq', 2)")
  await expect(createDaemon(options(events)).start()).rejects.toThrow(
    /has settled 9, but the sequence stands at 2/,
  )
})

test.each([
  ['another server', "'77' || substr(incarnation, strpos(incarnation, '/'))", /is of server 77/],
  ['a log further on', 'incarnation', /was written at log position FFFF\/0, but the server stands at/],
])('a checkpoint of %s is refused at start', async (kind, incarnation, says) => {
  const { events, daemon } = await projectedEvents(2)
  await daemon.stop()
  await events.run(`update checkpoints set incarnation = ${incarnation}`)
  if (kind === 'a log further on') await events.run("update checkpoints set log_position = 'FFFF/0'")
  const start = createDaemon(options(events)).start()
  await expect(start).rejects.toMatchObject(HALTED.error)
  await expect(start).rejects.toThrow(says)
})

test('a projection that sends once misses no new event of a store that went back, where its furthest is set as the error says', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(8)
  const more = { ...options(events), projections: [recorder(events, 'all', { effects: 'live_only' })] }
  const daemon = await startDaemon(more)
  await daemon.waitUntilProjected()
  const { source, checkpoints } = more
  const operations = createOperations({ source, checkpoints })
  const by = { projection: 'all', who: 'ann', why: 'again from 4' }
  await operations.pause(by)
  await operations.moveTo({ ...by, position: 3n })
  await operations.resume(by)
  await eventually(() => daemon.status().projections[0]).toMatchObject({ state: 'live', position: 8n })
  await events.run("delete from events where position > 5; select setval('events_position_seq', 5)")
  await eventually(() => daemon.status().highWater).toMatchObject(HALTED)
  expect(String(daemon.status().highWater.error)).toMatch(/its column furthest is not NULL, set that/)
  await daemon.stop()
  await events.run(`update checkpoints set settled = null, incarnation = null, log_position = null;
    delete from settled;
    update checkpoints set position = '5', furthest = '5'`)
  await startDaemon(more)
  await events.append(2)
  await eventually(() => handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 6n, 7n])
})
