import type { Projection } from '@tidemark/core'
import { type PgClient, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
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

const db = fileDatabase()

/** A daemon with that projection beside one that only records, over three events. */
async function projecting(
  handle: (events: EventTable) => Projection<PostgresRow, PgClient>['handle'],
  more: Partial<Projection<PostgresRow, PgClient>> & { drainTimeoutMs?: number } = {},
) {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const { drainTimeoutMs, ...projection } = more
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [{ name: 'tested', handle: handle(events), ...projection }, recorder(events, 'other')],
    ...(drainTimeoutMs && { drainTimeoutMs }),
  })
  const status = () => daemon.status().projections[0]
  return { events, daemon, status }
}

const checkpointOf = async (events: EventTable, projection: string) => {
  const { rows } = await db.pool.query(
    `select position from ${events.schema}.checkpoints where projection = $1`,
    [projection],
  )
  return rows[0]?.position
}

test('what a handler writes and its checkpoint are one transaction', async () => {
  const { events, daemon } = await projecting((table) => recorder(table, 'tested').handle)
  await daemon.waitUntilProjected()
  const { rows } = await db.pool.query(
    `select h.xmin::text = c.xmin::text as same from ${events.schema}.handled h, ${events.schema}.checkpoints c
     where h.projection = 'tested' and c.projection = 'tested'`,
  )
  expect(rows).toEqual([{ same: true }, { same: true }, { same: true }])
  expect(await checkpointOf(events, 'tested')).toBe('3')
})

test('a handler that throws leaves nothing, and is paused alone after its attempts', async () => {
  let attempts = 0
  const { events, daemon, status } = await projecting(
    (table) => async (page, context) => {
      await recorder(table, 'tested').handle(page, context)
      attempts++
      throw new Error('no such account')
    },
    { attempts: 2 },
  )
  await eventually(status).toMatchObject({ state: 'paused', error: { message: 'no such account' } })
  expect(attempts, 'the whole batch, and its first event twice').toBe(3)
  expect(await handledBy(db.pool, events, 'tested')).toEqual([])
  expect(await checkpointOf(events, 'tested')).toBeNull()
  await daemon.waitUntilProjected({ projections: ['other'] })
  await expect(daemon.waitUntilProjected()).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_FAILED',
    message: expect.stringContaining('no such account'),
  })
})

test('a paused projection tries again after a restart', async () => {
  const { events, daemon, status } = await projecting(
    () => () => {
      throw new Error('not yet')
    },
    { attempts: 1 },
  )
  await eventually(status).toMatchObject({ state: 'paused' })
  await daemon.stop()
  const restarted = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'tested')],
  })
  await restarted.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n])
})

test('what a deferred constraint refuses at COMMIT is the failure of the handler, and says how to see it there', async () => {
  const { events, status } = await projecting(
    (table) => async (page, context) => {
      await recorder(table, 'tested').handle(page, context)
      await context.tx.query(`create table ${table.schema}.once (n int unique deferrable initially deferred)`)
      await context.tx.query(`insert into ${table.schema}.once values (1), (1)`)
    },
    { attempts: 2 },
  )
  await eventually(status).toMatchObject({
    state: 'paused',
    error: {
      code: 'TIDEMARK_COMMIT_REFUSED',
      message: expect.stringMatching(/unique constraint.*SET CONSTRAINTS/),
    },
    failure: { stage: 'handle', attempts: 2, batch: { firstPosition: '1', lastPosition: '1' } },
  })
  expect(await handledBy(db.pool, events, 'tested')).toEqual([])
})

test('an SQL error that the handler swallows is found, and says to use a savepoint', async () => {
  const { events, status } = await projecting(
    (table) => async (page, context) => {
      await recorder(table, 'tested').handle(page, context)
      await context.tx.query('select 1 / 0').catch(() => {})
    },
    { attempts: 1 },
  )
  await eventually(status).toMatchObject({
    state: 'paused',
    error: {
      code: 'TIDEMARK_TRANSACTION_FAILED',
      projection: 'tested',
      message: expect.stringMatching(/"tested".*caught has failed the whole transaction.*savepoint/),
    },
  })
  expect(await handledBy(db.pool, events, 'tested')).toEqual([])
})

test("an SQL error behind a savepoint is the handler's own business", async () => {
  const { events, daemon } = await projecting((table) => async (page, context) => {
    await recorder(table, 'tested').handle(page, context)
    await context.tx.query('savepoint s')
    await context.tx.query('select 1 / 0').catch(() => context.tx.query('rollback to savepoint s'))
  })
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n])
})

test.each([
  ['commits', ['commit']],
  ['rolls back', ['rollback']],
  ['commits and begins anew', ['commit', 'begin']],
  ['commits and begins anew and writes', ['commit', 'begin', 'create temporary table anew (a int)']],
  ['rolls back and begins anew', ['rollback', 'begin']],
  ['commits and chains', ['commit and chain']],
])('a handler that %s is paused at once, with an error that names it', async (_, statements) => {
  let calls = 0
  const { events, daemon, status } = await projecting(
    () =>
      async (_page, { tx }) => {
        calls++
        for (const statement of statements) await tx.query(statement)
      },
    { attempts: 5 },
  )
  await eventually(status).toMatchObject({
    state: 'paused',
    error: {
      code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION',
      projection: 'tested',
      message: expect.stringContaining('"tested"'),
    },
  })
  expect(calls).toBe(1)
  expect(await checkpointOf(events, 'tested')).toBeNull()
  await daemon.waitUntilProjected({ projections: ['other'] })
})

const FAILS = 'select 1 / 0'

test.each([
  ['commits', ['commit']],
  ['rolls back', ['rollback']],
  ['rolls back and writes', ['rollback', 'create temporary table anew (a int)']],
  ['commits and begins anew', ['commit', 'begin']],
  ['commits and begins anew and writes', ['commit', 'begin', 'create temporary table anew (a int)']],
  ['commits and begins anew and fails', ['commit', 'begin', FAILS]],
  ['rolls back and fails', ['rollback', FAILS]],
  ['commits and chains', ['commit and chain']],
  ['commits and chains and fails', ['commit and chain', FAILS]],
  ['commits and fails', ['commit', FAILS]],
  ['commits behind a savepoint', ['savepoint s', 'commit']],
  ['prepares it', ["prepare transaction ':gid'"]],
  ['prepares it and begins anew and fails', ["prepare transaction ':gid'", 'begin', FAILS]],
])('a handler that %s, and then throws, is paused at once: nothing is repeated', async (_, statements) => {
  let calls = 0
  const { events, daemon, status } = await projecting(
    (table) => async (page, context) => {
      calls++
      await recorder(table, 'tested').handle(page, context)
      // As transaction() of an ORM does.
      await context.tx.query('begin')
      for (const statement of statements) await context.tx.query(statement.replace(':gid', table.schema))
      throw new Error('no such account')
    },
    { attempts: 5 },
  )
  await eventually(status).toMatchObject({
    state: 'paused',
    error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION', projection: 'tested', cause: expect.any(Error) },
  })
  expect(calls).toBe(1)
  expect((await handledBy(db.pool, events, 'tested')).length).toBeLessThanOrEqual(3)
  await daemon.waitUntilProjected({ projections: ['other'] })
  await daemon.stop()
  const { rows } = await db.pool.query('select from pg_prepared_xacts where gid = $1', [events.schema])
  if (rows.length > 0) await db.pool.query(`rollback prepared '${events.schema}'`)
})

test.each([
  ['throws', []],
  ['begins once more, which does nothing, and throws', ['begin']],
  ['fails', [FAILS]],
  ['throws behind a savepoint', ['savepoint s']],
  ['fails behind a savepoint', ['savepoint s', FAILS]],
  ['goes back to a savepoint, and throws', ['savepoint s', 'rollback to savepoint s', 'release savepoint s']],
  ['names a savepoint that is not there', ['release savepoint s']],
])(
  'a handler that %s has not ended its transaction: it is tried again with nothing left behind',
  async (_, statements) => {
    let calls = 0
    const { events, daemon, status } = await projecting(
      (table) => async (page, context) => {
        await recorder(table, 'tested').handle(page, context)
        if (++calls > 1) return
        for (const statement of statements) await context.tx.query(statement)
        throw new Error('not yet')
      },
      { attempts: 2 },
    )
    await daemon.waitUntilProjected()
    expect(status()).toMatchObject({ state: 'live' })
    expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n])
  },
)

test.each([
  ['prepares it', (gid: string) => [`prepare transaction '${gid}'`]],
  [
    'prepares it and begins anew',
    (gid: string) => [`prepare transaction '${gid}'`, 'begin', 'create temporary table anew (a int)'],
  ],
])(
  'a handler that %s for two-phase commit is paused at once, and holds its checkpoint until that is decided',
  async (_, statements) => {
    let calls = 0
    const { events, daemon, status } = await projecting(
      (table) => async (page, context) => {
        calls++
        await recorder(table, 'tested').handle(page, context)
        for (const statement of statements(table.schema)) await context.tx.query(statement)
      },
      { attempts: 5 },
    )
    await eventually(status).toMatchObject({
      state: 'paused',
      error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION', projection: 'tested' },
    })
    expect(calls).toBe(1)
    await daemon.waitUntilProjected({ projections: ['other'] })
    await daemon.stop()

    const restarted = await startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name }),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [recorder(events, 'tested')],
    })
    await eventually(() => restarted.status().projections[0]).toMatchObject({ state: 'standby' })
    expect(await handledBy(db.pool, events, 'tested')).toEqual([])
    await db.pool.query(`rollback prepared '${events.schema}'`)
    await restarted.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n])
  },
)

test('a handler gets the client of the pool itself', async () => {
  const events = await db.events()
  await events.append()
  const seen: string[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: postgresCheckpoints({ pool: db.pool, schema: events.schema }),
    projections: [
      {
        name: 'typed',
        handle: async (_, { tx }) => {
          const { rows } = await tx.query<{ quoted: string }>({
            text: 'select $1::text as quoted',
            values: [tx.escapeIdentifier('a"b')],
          })
          seen.push(...rows.map((row) => row.quoted))
        },
      },
    ],
  })
  await daemon.waitUntilProjected()
  expect(seen).toEqual(['"a""b"'])
})

test('stop() finishes and checkpoints the batch at hand', async () => {
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  let entered = false
  const { events, daemon } = await projecting((table) => async (page, context) => {
    entered = true
    await gate
    await recorder(table, 'tested').handle(page, context)
  })
  await eventually(() => entered).toBe(true)
  const stopped = daemon.stop()
  open()
  await stopped
  expect(await handledBy(db.pool, events, 'tested')).toEqual(await appended(db.pool, events))
  expect(await checkpointOf(events, 'tested')).toBe('3')
})

test('stop() destroys the transaction of a handler that outlasts drainTimeoutMs', async () => {
  let signalled = false
  const pids: number[] = []
  const { events, daemon } = await projecting(
    (table) => async (page, context) => {
      await recorder(table, 'tested').handle(page, context)
      const { rows } = await context.tx.query('select pg_backend_pid() as pid')
      pids.push(Number(rows[0]?.pid))
      await new Promise<never>(() => {
        context.signal.addEventListener('abort', () => {
          signalled = true
        })
      })
    },
    { drainTimeoutMs: 20 },
  )
  await eventually(() => pids).toHaveLength(1)
  await daemon.stop()
  expect(signalled).toBe(true)
  await eventually(async () => {
    const { rows } = await db.pool.query('select pid from pg_stat_activity where pid = any ($1)', [pids])
    return rows
  }).toEqual([])
  expect(await handledBy(db.pool, events, 'tested')).toEqual([])
  expect(await checkpointOf(events, 'tested')).toBeNull()
})
