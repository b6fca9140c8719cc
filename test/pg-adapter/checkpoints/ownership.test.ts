import { type AdvanceRequest, type Evidence, wholeUnit } from '@tidemark/core/adapter'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { testDatabase } from '../../support/database.ts'
import {
  agentOver,
  appended,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const db = fileDatabase()

/** Two stores over the same checkpoints, as two processes have them, and what one poll of the events has seen. */
async function twoOwners() {
  const events = await db.events()
  await events.append(5)
  const one = checkpointsBeside(events, db.pool)
  const two = checkpointsBeside(events, db.pool)
  await one.prepare?.(never())
  await one.open(wholeUnit('all'), { source: events.name, head: undefined }, never())
  const agent = await agentOver({ pool: db.pool, table: events.name })
  return { events, one, two, evidence: evidenceOf(agent.reading) }
}

function evidenceOf(reading: Awaited<ReturnType<typeof agentOver>>['reading']): Evidence<string> {
  if (!reading) throw new Error('the agent has started')
  const { incarnation, logPosition, settled } = reading
  return { incarnation, logPosition, settled: settled?.toString() }
}

const advance = (
  events: EventTable,
  evidence: Evidence<string>,
  from: string | undefined,
  to: string,
): AdvanceRequest => ({
  unit: wholeUnit('all'),
  source: events.name,
  from,
  to,
  evidence,
  signal: new AbortController().signal,
})

const CONFLICT = { code: 'TIDEMARK_CHECKPOINT_CONFLICT', projection: 'all' }

test('a checkpoint that another owner has moved is not moved from where it was', async () => {
  const { events, one, two, evidence } = await twoOwners()
  await one.advance(advance(events, evidence, undefined, '3'), async () => {})
  let worked = false
  const late = two.advance(advance(events, evidence, undefined, '2'), async () => {
    worked = true
  })
  await expect(late).rejects.toMatchObject(CONFLICT)
  await expect(late).rejects.toThrow(/moved its checkpoint to 3, expected none/)
  expect(worked).toBe(false)
  expect(await two.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).toEqual({
    position: '3',
    skipped: {},
    role: 'live',
    decided: { atMs: undefined, answered: undefined },
  })
})

test('the checkpoint is locked before the handler runs: the loser does no work, and does not wait', async () => {
  const { events, one, two, evidence } = await twoOwners()
  let worked = false
  await one.advance(advance(events, evidence, undefined, '3'), async () => {
    const loser = two.advance(advance(events, evidence, undefined, '3'), async () => {
      worked = true
    })
    await expect(loser).rejects.toMatchObject(CONFLICT)
  })
  expect(worked).toBe(false)
})

test('a checkpoint that is locked can still be read', async () => {
  const { events, one, two, evidence } = await twoOwners()
  await one.advance(advance(events, evidence, undefined, '3'), async () => {
    expect(await two.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).toEqual({
      position: undefined,
      skipped: {},
      role: 'live',
      decided: { atMs: undefined, answered: undefined },
    })
  })
})

test.each([
  [
    'another run of the server',
    (e: Evidence<string>) => ({ ...e, incarnation: e.incarnation.replace(/\/(\d+)\//, '/9$1/') }),
  ],
  ['a log further on', (e: Evidence<string>) => ({ ...e, logPosition: 'FFFF/0' })],
])('a page of %s moves nothing, and its handler does not run', async (_, change) => {
  const { events, one, evidence } = await twoOwners()
  let worked = false
  const stale = one.advance(advance(events, change(evidence), undefined, '3'), async () => {
    worked = true
  })
  await expect(stale).rejects.toMatchObject({ code: 'TIDEMARK_INCARNATION_CHANGED' })
  expect(worked).toBe(false)
  expect(await one.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).toEqual({
    position: undefined,
    skipped: {},
    role: 'live',
    decided: { atMs: undefined, answered: undefined },
  })
})

test('a checkpoint whose row was deleted is a conflict', async () => {
  const { events, one, evidence } = await twoOwners()
  await events.run('delete from checkpoints')
  await expect(one.advance(advance(events, evidence, undefined, '3'), async () => {})).rejects.toMatchObject(
    CONFLICT,
  )
})

test('a projection name that belongs to another source is refused, and says how to go on', async () => {
  const { events, one } = await twoOwners()
  const error = one.open(wholeUnit('all'), { source: 'another source', head: undefined }, never())
  await expect(error).rejects.toMatchObject({ code: 'TIDEMARK_PROJECTION_SOURCE' })
  await expect(error).rejects.toThrow(
    `has a checkpoint of the source "${events.name}", and now reads "another source": choose another name`,
  )
})

test('two daemons over sources of other names do not share a checkpoint', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  const other = await db.events()
  const start = ({ name }: EventTable) =>
    startDaemon({
      source: postgresEvents({ pool: db.pool, table: name }),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [{ ...recorder(events, 'all'), attempts: 1 }],
    })
  const first = await start(events)
  await first.waitUntilProjected()
  const second = await start(other)
  await eventually(() => second.status().projections[0]).toMatchObject({
    state: 'retrying',
    error: { code: 'TIDEMARK_PROJECTION_SOURCE' },
  })
})

test('of two daemons one works and the other stands by, and takes over when the first stops', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  const start = () =>
    startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name }),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [recorder(events, 'a', { batchSize: 2 }), recorder(events, 'b', { batchSize: 3 })],
    })
  const [first, second] = await Promise.all([start(), start()])
  const appending = (async () => {
    for (let n = 0; n < 100; n++) await events.append()
  })()
  await events.append(20)
  await first?.waitUntilProjected()
  await first?.stop()
  await appending
  await second?.waitUntilProjected()
  for (const name of ['a', 'b']) {
    expect(await handledBy(db.pool, events, name)).toEqual(await appended(db.pool, events))
  }
})

test('a standby waits for what the owner projects', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  const start = () =>
    startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name }),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [recorder(events, 'all')],
    })
  const daemons = await Promise.all([start(), start()])
  await events.append(5)
  await Promise.all(daemons.map((daemon) => daemon.waitUntilProjected()))
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n])
})

test.each(["it's", 'back\\slash', "\\' or true --", '"quoted"', 'größe ✓', '$1', ' spaced '])(
  'a projection and a source named %o are taken as they stand',
  async (odd) => {
    const { events, one, evidence } = await twoOwners()
    await one.open(wholeUnit(odd), { source: odd, head: undefined }, never())
    const request = { ...advance(events, evidence, undefined, '3'), unit: wholeUnit(odd), source: odd }
    await one.advance(request, async () => {})
    expect(await one.open(wholeUnit(odd), { source: odd, head: undefined }, never())).toEqual({
      position: '3',
      skipped: {},
      role: 'live',
      decided: { atMs: undefined, answered: undefined },
    })
    expect(await one.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).toEqual({
      position: undefined,
      skipped: {},
      role: 'live',
      decided: { atMs: undefined, answered: undefined },
    })
    expect(await one.progress(odd, never())).toMatchObject([
      { unit: wholeUnit(odd), position: '3', ...evidence },
    ])
  },
)

test('twenty projections read their checkpoints at once without a warning of Node', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append()
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  const names = Array.from({ length: 20 }, (_, n) => `p${n}`)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: names.map((name) => recorder(events, name)),
  })
  await daemon.waitUntilProjected()
  process.removeListener('warning', onWarning)
  expect(warnings).toEqual([])
})

test('shares the log with every database of the same server, and with nothing else', async () => {
  const { one, evidence } = await twoOwners()
  const other = await testDatabase()
  const elsewhere = postgresCheckpoints({ pool: other.pool })
  const { incarnation } = evidence
  expect(await one.sharesLogWith(incarnation, never())).toBe(true)
  expect(await elsewhere.sharesLogWith(incarnation, never())).toBe(true)
  expect(await elsewhere.sharesLogWith(incarnation.replace(/^\d+/, '42'), never())).toBe(false)
  expect(await elsewhere.sharesLogWith('unproven', never())).toBe(false)
  await other.drop()
})
