import { readFile } from 'node:fs/promises'
import { createOperations, type OperationRequest, type Operations } from '@tidemark/core/operations'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import {
  appended,
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'
import { never } from '../support/never.ts'

const db = fileDatabase()
const BY = { who: 'ann', why: 'the mail server is down' }
const PAUSE: OperationRequest = { projection: 'all', ...BY }
const RESUME: OperationRequest = { projection: 'all', who: 'bob', why: 'it is up again' }

async function table(): Promise<EventTable> {
  const events = await db.events()
  await events.run(HANDLED)
  return events
}

const node = (events: EventTable, pool: Pool = db.pool) =>
  startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [recorder(events, 'all')],
  })

/** As another process has them: on connections of its own. */
const operator = (events: EventTable, pool: Pool = db.newPool()): Operations<bigint> =>
  createOperations({
    checkpoints: checkpointsBeside(events, pool),
    source: postgresEvents({ pool, table: events.name }),
  })

/** A projection that has handled so many events, and no daemon any more. */
async function stopped(events: EventTable, count = 5): Promise<void> {
  await events.append(count)
  const daemon = await node(events)
  await daemon.waitUntilProjected()
  await daemon.stop()
}

const told = async (operations: Operations<bigint>): Promise<string[]> =>
  (await operations.audit()).map(({ operation, who, before, after }) => {
    const to = after === undefined ? 'gone' : `${after.desired} at ${after.position}`
    return `${operation} by ${who}: ${before.desired} at ${before.position} -> ${to}`
  })

describe('each operation happens once, and its audit row says so,', () => {
  /** What is asked, what has to be done before, and what the audit then says of it. */
  const cases = {
    pause: {
      before: [],
      ask: (operations) => operations.pause(PAUSE),
      says: 'pause by ann: running at 5 -> paused at 5',
    },
    resume: {
      before: ['pause'],
      ask: (operations) => operations.resume(RESUME),
      says: 'resume by bob: paused at 5 -> running at 5',
    },
    moveTo: {
      before: ['pause'],
      ask: (operations) => operations.moveTo({ ...PAUSE, position: 2n }),
      says: 'move by ann: paused at 5 -> paused at 2',
    },
    forget: {
      before: ['pause'],
      ask: (operations) => operations.forget(PAUSE),
      says: 'forget by ann: paused at 5 -> gone',
    },
  } as const satisfies Record<
    string,
    {
      readonly before: readonly string[]
      readonly ask: (operations: Operations<bigint>) => ReturnType<Operations<bigint>['pause']>
      readonly says: string
    }
  >
  const names = Object.keys(cases) as (keyof typeof cases)[]

  test.each(names)('asked twice, with every daemon dead: %s', async (name) => {
    const { before, ask, says } = cases[name]
    const events = await table()
    await stopped(events)
    const operations = operator(events)
    if (before.length > 0) await operations.pause(PAUSE)
    const first = await ask(operations)
    expect(first).toMatchObject({ outcome: 'done', entry: { unit: { projection: 'all', version: 1 } } })
    expect(await ask(operations)).toEqual({ outcome: 'already', entry: undefined })
    expect((await told(operations)).slice(0, -before.length || undefined)).toEqual([says])
  })

  test.each(names)('by ten callers at once, on ten connections: %s', async (name) => {
    const { before, ask, says } = cases[name]
    const events = await table()
    await stopped(events)
    const operations = operator(events, db.newPool({ max: 10 }))
    if (before.length > 0) await operations.pause(PAUSE)
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => ask(operations)))
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([...Array(9).fill('already'), 'done'])
    expect((await told(operations)).slice(0, -before.length || undefined)).toEqual([says])
  })

  test.each(names)('while the server kills whoever asks, again and again: %s', async (name) => {
    const { before, ask, says } = cases[name]
    const events = await table()
    await stopped(events)
    const operations = operator(events, db.newPool({ application_name: `asks ${events.schema}` }))
    if (before.length > 0) await operations.pause(PAUSE)
    const kills = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'asks ${events.schema}'`
    let asked = 0
    let answered = 0
    for (let kill = 0; kill < 20; kill++) {
      const asking = ask(operations).then(
        () => answered++,
        () => {},
      )
      asked++
      await db.pool.query(kills)
      await asking
    }
    // Whatever came of the calls that were cut, it is so when one is answered.
    await eventually(() => ask(operations).catch(() => undefined)).toMatchObject({ outcome: /already|done/ })
    expect(answered).toBeLessThanOrEqual(asked)
    expect((await told(operator(events))).slice(0, -before.length || undefined)).toEqual([says])
  })
})

describe('a pause', () => {
  test('that was answered: no batch commits after it, under writers, whenever it was asked for', async () => {
    const events = await table()
    const daemon = await node(events)
    const operations = operator(events)
    await events.append(1)
    await daemon.waitUntilProjected()
    for (let round = 0; round < 8; round++) {
      const writing = events.append(20)
      await operations.pause(PAUSE)
      const atAnswer = await handledBy(db.pool, events, 'all')
      await writing
      const [unit] = await operations.list()
      expect(unit).toMatchObject({ desired: 'paused', position: String(atAnswer.at(-1)) })
      await eventually(() => daemon.status().projections[0]?.state).toBe('paused')
      expect(await handledBy(db.pool, events, 'all')).toEqual(atAnswer)
      await operations.resume(RESUME)
      await daemon.waitUntilProjected().catch(() => {})
      await eventually(() => daemon.status().projections[0]?.state).toBe('live')
    }
    expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
  })

  test('waits for the batch at hand, and says who has it when that takes too long', async () => {
    const events = await table()
    await events.append(1)
    let end = (): void => {}
    const working = new Promise<void>((resolve) => {
      end = resolve
    })
    let isWorking = false
    await startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name }),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [
        {
          name: 'all',
          handle: async () => {
            isWorking = true
            await working
          },
        },
      ],
    })
    await eventually(() => isWorking).toBe(true)
    const operations = operator(events)
    const tooLong = operations.pause({ ...PAUSE, timeoutMs: 100 })
    await expect(tooLong).rejects.toMatchObject({
      code: 'TIDEMARK_CHECKPOINT_BUSY',
      message: expect.stringMatching(
        /locked for 100 ms by the server process \d+.*pg_terminate_backend\(\d+\)/,
      ),
    })
    const pausing = operations.pause(PAUSE)
    end()
    expect(await pausing).toMatchObject({ outcome: 'done', entry: { before: { position: '1' } } })
    expect(await told(operations)).toHaveLength(1)
  })

  test('with the daemon dead holds one that is started later, on any node, until it is resumed', async () => {
    const events = await table()
    await stopped(events)
    const operations = operator(events)
    await operations.pause(PAUSE)
    await events.append(3)
    const nodes = [await node(events), await node(events, db.newPool())]
    for (const daemon of nodes) {
      await eventually(() => daemon.status().projections[0]).toMatchObject({
        state: 'paused',
        pausedBy: { ...BY, sinceMs: expect.any(Number) },
      })
    }
    expect(await handledBy(db.pool, events, 'all')).toHaveLength(5)
    await operations.resume(RESUME)
    await eventually(() => handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
    for (const daemon of nodes) {
      await eventually(() => daemon.status().projections[0]?.pausedBy).toBeUndefined()
    }
  })

  test('outlasts a failover: every backend of the daemon killed, and the daemon after it', async () => {
    const events = await table()
    const pool = db.newPool({ application_name: `works ${events.schema}` })
    const first = await node(events, pool)
    await events.append(3)
    await first.waitUntilProjected()
    const operations = operator(events)
    await operations.pause(PAUSE)
    await events.append(3)
    for (let kill = 0; kill < 5; kill++) {
      await db.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'works ${events.schema}'`,
      )
      await eventually(() => first.status().projections[0]?.state).toBe('paused')
    }
    const second = await node(events)
    await first.stop()
    await eventually(() => second.status().projections[0]?.state).toBe('paused')
    expect(await handledBy(db.pool, events, 'all')).toHaveLength(3)
    await operations.resume(RESUME)
    await second.waitUntilProjected().catch(() => {})
    await eventually(() => handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
  })

  test('is nobody but an operator: a daemon that drains changes no desired state', async () => {
    const events = await table()
    await stopped(events)
    expect(await operator(events).list()).toMatchObject([{ desired: 'running', decision: undefined }])
  })

  test('that somebody writes into the row by hand holds too', async () => {
    const events = await table()
    await stopped(events)
    await events.run("update checkpoints set desired = 'frozen'")
    await events.append(1)
    const daemon = await node(events)
    await eventually(() => daemon.status().projections[0]?.state).toBe('paused')
    expect(await handledBy(db.pool, events, 'all')).toHaveLength(5)
  })
})

test('moved back, a running daemon handles again what follows; moved on, what is passed is counted', async () => {
  const events = await table()
  const daemon = await node(events)
  await events.append(10)
  await daemon.waitUntilProjected()
  const operations = operator(events)
  await operations.pause(PAUSE)
  await operations.moveTo({ ...PAUSE, position: 7n })
  await operations.resume(RESUME)
  await eventually(() => handledBy(db.pool, events, 'all')).toEqual([
    ...(await appended(db.pool, events)),
    8n,
    9n,
    10n,
  ])
  await operations.pause(PAUSE)
  await events.append(5)
  // So far it is proven, as soon as a daemon has stored that.
  const moved = async () => await operations.moveTo({ ...PAUSE, position: 14n }).catch((error) => error)
  await eventually(moved).toMatchObject({ outcome: 'done' })
  await operations.resume(RESUME)
  await eventually(() => handledBy(db.pool, events, 'all').then((handled) => handled.at(-1))).toBe(15n)
  expect(await operations.list()).toMatchObject([{ position: '15', skipped: { moved: 4n } }])
  expect((await handledBy(db.pool, events, 'all')).slice(13)).toEqual([15n])
})

test('what is passed is counted to the last position, also where a number of JavaScript cannot hold the count', async () => {
  const first = 2n ** 53n + 1n
  const events = await db.events(
    `create table events (position bigint generated always as identity (start ${first}) primary key)`,
  )
  await events.run(HANDLED)
  await stopped(events, 3)
  const operations = operator(events)
  await operations.pause(PAUSE)
  for (const position of [undefined, first, first + 1n, first + 2n])
    await operations.moveTo({ ...PAUSE, position })
  const [unit] = await operations.list()
  const [entry] = await operations.audit()
  expect([unit?.skipped, entry?.after?.skipped]).toEqual([{ moved: first + 2n }, { moved: first + 2n }])
})

test('an operation that does not fit says what there is, and changes nothing', async () => {
  const events = await table()
  await stopped(events)
  const operations = operator(events)
  const refused = (found: RegExp) => ({
    code: 'TIDEMARK_OPERATION_REFUSED',
    message: expect.stringMatching(found),
  })
  await expect(operations.pause({ ...PAUSE, projection: 'al' })).rejects.toMatchObject(
    refused(/it has no checkpoint of the source ".+"; there are "all"; nothing was changed/),
  )
  await expect(operations.pause({ ...PAUSE, version: 2 })).rejects.toMatchObject(
    refused(/it has no version 2; there is 1/),
  )
  await expect(operations.moveTo({ ...PAUSE, position: 2n })).rejects.toMatchObject(
    refused(/it runs, at 5; pause it before it is moved/),
  )
  await expect(operations.forget(PAUSE)).rejects.toMatchObject(
    refused(/it runs, at 5; pause it before it is forgotten/),
  )
  await operations.pause(PAUSE)
  await expect(operations.moveTo({ ...PAUSE, position: 99n })).rejects.toMatchObject(
    refused(/99 is not known to be settled \(the furthest is 5\)/),
  )
  expect(await told(operations)).toEqual(['pause by ann: running at 5 -> paused at 5'])
  await events.run(
    `insert into checkpoints (projection, version, source, role) select projection, 2, source, 'beside' from checkpoints`,
  )
  await expect(operations.resume(RESUME)).rejects.toMatchObject(
    refused(/several units, of the versions 1, 2; say which/),
  )
  expect(await operations.resume({ ...RESUME, version: 1 })).toMatchObject({ outcome: 'done' })
})

test('a role without the rights of an operator is told what to grant', async () => {
  const events = await table()
  await stopped(events)
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant select, insert, update on all tables in schema ${events.schema} to :role;
     revoke insert on ${events.schema}.audit from :role`,
  )
  const pool = db.newPool(asRole(db.url, role))
  const operations = createOperations({ checkpoints: postgresCheckpoints({ pool, schema: events.schema }) })
  await expect(operations.pause(PAUSE)).rejects.toMatchObject({
    code: 'TIDEMARK_POSTGRES_CONDITION',
    message: expect.stringMatching(/GRANT INSERT ON ".+"\."audit"/),
  })
  expect(await operations.list()).toMatchObject([{ desired: 'running' }])
})

type Calls = Readonly<Record<string, (operations: Operations<bigint>) => Promise<unknown>>>

const READING_CALLS: Calls = {
  list: (operations) => operations.list(),
  audit: (operations) => operations.audit(),
  skips: (operations) => operations.skips(),
  lateEvents: (operations) => operations.lateEvents(),
  'deadLetters.list': ({ deadLetters }) => deadLetters.list(),
  'deadLetters.list of the open ones': ({ deadLetters }) => deadLetters.list({ state: 'open' }),
  'deadLetters.show': ({ deadLetters }) => deadLetters.show('1'),
  'deadLetters.counts': ({ deadLetters }) => deadLetters.counts(),
  'nodes.list': ({ nodes }) => nodes.list(),
  'nodes.audit': ({ nodes }) => nodes.audit(),
}
const EVERY_CALL: Calls = {
  ...READING_CALLS,
  pause: (operations) => operations.pause(PAUSE),
  moveTo: (operations) => operations.moveTo({ ...PAUSE, position: 2n }),
  resume: (operations) => operations.resume(RESUME),
  'pause, again': (operations) => operations.pause(PAUSE),
  forget: (operations) => operations.forget(PAUSE),
  'deadLetters.resolve': ({ deadLetters }) => deadLetters.resolve({ ids: ['1'], ...BY }),
  'deadLetters.discard': ({ deadLetters }) => deadLetters.discard({ ids: ['2'], ...BY }),
  'nodes.drain': ({ nodes }) => nodes.drain({ node: 'a', ...BY }),
}

test('a role with exactly the grants of docs/operating.md can do every operation', async () => {
  const events = await table()
  await stopped(events)
  const source = postgresEvents({ pool: db.pool, table: events.name }).name
  const report = { id: 'a', name: 'a', source, capacity: 1, units: [], unable: [], isLeaving: false }
  const { leases } = checkpointsBeside(events, db.pool)
  await leases?.renew({ node: report, leaseMs: 10_000, signal: never() })
  const page = await readFile('docs/operating.md', 'utf8')
  const grants = (page.match(/^GRANT .+;$/gm) ?? []).join('\n')
  const role = await db.role(grants.replace(/tidemark/g, events.schema).replace(/TO operator/g, 'TO :role'))
  const operations = operator(events, db.newPool(asRole(db.url, role)))
  const refused: unknown[] = []
  for (const [name, call] of Object.entries(EVERY_CALL)) {
    await call(operations).catch((error: unknown) => refused.push([name, error]))
  }
  expect(refused).toEqual([])
})

test('what only looks asks for the rights of a reader, and these are enough; what changes something then asks for the others', async () => {
  const events = await table()
  await stopped(events)
  const role = await db.role(`grant select on ${events.name} to :role`)
  const operations = operator(events, db.newPool(asRole(db.url, role)))
  let advice = ''
  for (const call of Object.values(READING_CALLS)) {
    const error = await call(operations).catch((reason: unknown) => reason)
    advice = (error as Error).message
    expect(advice).toContain('GRANT SELECT')
    expect(advice).not.toMatch(/INSERT|UPDATE|DELETE/)
  }
  const follow = async (): Promise<unknown> =>
    await db.pool.query((advice.match(/GRANT .+;/g) ?? []).join('\n').replaceAll('TO ...', `TO ${role}`))
  await follow()
  for (const call of Object.values(READING_CALLS)) await call(operations)
  const error = await operations.pause(PAUSE).catch((reason: unknown) => reason)
  advice = (error as Error).message
  expect(advice).toMatch(/GRANT INSERT, UPDATE, DELETE ON ".+"\."checkpoints"/)
  await follow()
  expect(await operations.pause(PAUSE)).toMatchObject({ outcome: 'done' })
})

test('a role with no right at all is told the grants by each call', async () => {
  const events = await table()
  await stopped(events)
  const pool = db.newPool(asRole(db.url, await db.role('select')))
  for (const call of Object.values(EVERY_CALL)) {
    await expect(call(operator(events, pool))).rejects.toMatchObject({
      code: 'TIDEMARK_POSTGRES_CONDITION',
      condition: 'checkpoint_tables',
      message: expect.stringMatching(/GRANT USAGE ON SCHEMA/),
    })
  }
})

test.each([0, 2, 3])(
  'where no daemon of this version has prepared the tables, calls say so: version %i',
  async (version) => {
    const events = await table()
    if (version > 0) {
      await stopped(events)
      await events.run(`drop table audit, dead_letters, dead_letter_counts, late_events, late_event_units, passed_positions,
        nodes, node_audit, projection_failures`)
      if (version < 3) await events.run('alter table checkpoints drop column desired')
    }
    const operations = operator(events)
    for (const [name, call] of Object.entries(EVERY_CALL)) {
      // What version 3 has made is there.
      if (version === 3 && !/^(deadLetters|lateEvents|skips|nodes)/.test(name)) continue
      await expect(call(operations)).rejects.toMatchObject({
        code: 'TIDEMARK_POSTGRES_CONDITION',
        condition: 'checkpoint_tables',
        message: expect.stringMatching(/no daemon of this version has prepared them.*postgresCheckpointsSql/),
      })
    }
  },
)
