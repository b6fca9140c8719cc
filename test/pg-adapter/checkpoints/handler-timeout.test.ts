import type { Clock, Projection } from '@tidemark/core'
import { type PgClient, type PostgresRow, postgresEvents } from '@tidemark/pg-adapter'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../packages/core/src/kernel/clock.ts'
import { wholeUnit } from '../../../packages/core/src/ports/unit.ts'
import type { BoundedPool } from '../../../packages/pg-adapter/src/client.ts'
import { boundedClient, boundedPool } from '../../../packages/pg-adapter/src/query-timeout.ts'
import { isTransientPostgresError } from '../../../packages/pg-adapter/src/transience.ts'
import { UnendedTransactions } from '../../../packages/pg-adapter/src/unended-transactions.ts'
import {
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
/** No call takes that long: a test says when it is over. */
const LIMIT_MS = 86_400_000

type Handle = Projection<PostgresRow, PgClient>['handle']

/** The real time, but for limits of that length, which are over when `cut` is called. */
function cuttingClock() {
  const limits = new Set<() => void>()
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    sleep: (ms, signal, options) =>
      ms !== LIMIT_MS
        ? systemClock.sleep(ms, signal, options)
        : new Promise((resolve) => {
            const done = (): void => {
              limits.delete(done)
              resolve()
            }
            limits.add(done)
            signal.addEventListener('abort', done)
          }),
  }
  const cut = (): void => {
    for (const done of [...limits]) done()
  }
  return { clock, cut }
}

/** A projection of three events whose first call hangs, or each of them, beside one that only records. */
async function hanging(
  hang: (tx: PgClient, parts: { readonly events: EventTable; readonly cut: () => void }) => Promise<unknown>,
  { isAlways = false, ...options }: Partial<Projection<PostgresRow, PgClient>> & { isAlways?: boolean } = {},
) {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(3)
  const { clock, cut } = cuttingClock()
  const states: string[] = []
  const endings: unknown[] = []
  const storeErrors: unknown[] = []
  let conflicts = 0
  let last: unknown
  const record = recorder(events, 'tested').handle
  const handle: Handle = async (page, context) => {
    const { tx } = context
    const isFirst = last === undefined
    const { rows } = await tx.query(
      'select pg_xact_status($1::text::xid8) as before, pg_current_xact_id()::text as id',
      [last],
    )
    if (!isFirst) endings.push(rows[0]?.before)
    last = rows[0]?.id
    await record(page, context)
    if (isFirst || isAlways) await hang(tx, { events, cut })
  }
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [
      { name: 'tested', handle, handlerTimeoutMs: LIMIT_MS, attempts: 2, ...options },
      recorder(events, 'other'),
    ],
    clock,
    drainTimeoutMs: 100,
    telemetry: {
      projectionStateChanged: ({ projection, state }) => {
        if (projection === 'tested') states.push(state)
      },
      storeFailed: ({ projection, error }) => {
        if (projection === 'tested') storeErrors.push(error)
      },
      checkpointConflict: () => {
        conflicts++
      },
    },
  })
  const status = () => daemon.status().projections[0]
  return { events, daemon, status, states, endings, storeErrors, cut, conflicts: () => conflicts }
}

/** A wait for wake-ups sleeps too, between two looks. */
async function sleeping(): Promise<number> {
  const { rows } = await db.pool.query(
    "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep' and query like '%pg_sleep(3600)%'",
  )
  return rows.length
}

test('a handler that hangs in a statement is tried again once its transaction has ended, and nothing of it is committed', async () => {
  const { events, daemon, states, endings, storeErrors, cut, conflicts } = await hanging((tx) =>
    tx.query('select pg_sleep(3600)'),
  )
  await eventually(sleeping).toBe(1)
  cut()
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n])
  expect(endings[0], 'what the first transaction was when the next call began').toBe('aborted')
  expect(storeErrors, 'the old transaction is waited for').toEqual([])
  expect(states, 'its own transaction is no other owner').not.toContain('standby')
  expect(conflicts()).toBe(0)
  expect(await sleeping()).toBe(0)
})

test('a handler that hangs outside of the database, and comes back later, can no longer use its transaction', async () => {
  let comeBack = (): void => {}
  const held = new Promise<void>((resolve) => {
    comeBack = resolve
  })
  const later: unknown[] = []
  const { events, daemon, states, endings } = await hanging(async (tx, { events: table, cut }) => {
    cut()
    await held
    for (const sql of [`insert into ${table.schema}.handled values ('tested', 99)`, 'commit']) {
      later.push(await tx.query(sql).catch((error: unknown) => error))
    }
  })
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  comeBack()
  await eventually(() => later).toEqual([expect.any(Error), expect.any(Error)])
  expect(await handledBy(db.pool, events, 'tested')).toEqual([1n, 2n, 3n])
  expect(endings[0]).toBe('aborted')
  expect(states).not.toContain('standby')
})

test('a handler that commits by itself and then hangs is paused until a restart, and never tried again', async () => {
  const { events, status } = await hanging(
    async (tx, { cut }) => {
      await tx.query('commit')
      cut()
      await new Promise<never>(() => {})
    },
    { isAlways: true },
  )
  await eventually(status).toMatchObject({
    state: 'paused',
    position: undefined,
    error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' },
    failure: { stage: 'handle', nextTryAtMs: undefined },
  })
  expect(await handledBy(db.pool, events, 'tested'), 'what the handler has committed, once').toEqual([
    1n,
    2n,
    3n,
  ])
})

test('a handler that always hangs pauses its projection at that event; others go on, and stop() ends', async () => {
  const { events, daemon, status } = await hanging(
    async (_, { cut }) => {
      cut()
      await new Promise<never>(() => {})
    },
    { isAlways: true },
  )
  await daemon.waitUntilProjected({ projections: ['other'] })
  await eventually(status).toMatchObject({
    state: 'paused',
    error: { code: 'TIDEMARK_HANDLER_TIMEOUT', firstPosition: '1', lastPosition: '1' },
    failure: { stage: 'handle', attempt: 2, attempts: 2 },
  })
  await daemon.stop()
  expect(await handledBy(db.pool, events, 'tested')).toEqual([])
  expect(await handledBy(db.pool, events, 'other')).toEqual([1n, 2n, 3n])
})

test('events at which a handler always hangs in a statement are skipped, each once, where the projection says so', async () => {
  const hangInStatement = async (tx: PgClient, { cut }: { readonly cut: () => void }) => {
    const hung = tx.query('select pg_sleep(3600)')
    await eventually(sleeping).toBe(1)
    cut()
    await hung
  }
  const { events, daemon, status, storeErrors } = await hanging(hangInStatement, {
    isAlways: true,
    attempts: 1,
    onFailure: 'skip',
  })
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  expect(storeErrors).toEqual([])
  expect(status()).toMatchObject({ state: 'live', position: 3n, skipped: { apply_error: 3n } })
  expect(await handledBy(db.pool, events, 'tested')).toEqual([])
})

describe('what is given up in the middle of a statement is gone from the server without a further try,', () => {
  /** One advance that is given up. */
  async function givenUp(events: EventTable, work: (tx: PgClient) => Promise<unknown>) {
    const store = checkpointsBeside(events, db.pool)
    const { signal: never } = new AbortController()
    await store.prepare?.(never)
    const unit = wholeUnit('tested')
    await store.open(unit, { source: 'events', head: undefined }, never)
    const giving = new AbortController()
    let pid: unknown
    const evidence = { incarnation: 'of another store', settled: '1', logPosition: undefined }
    const move = { unit, source: 'events', from: undefined, to: '1', evidence, signal: giving.signal }
    const advancing = store.advance(move, async (tx) => {
      pid = (await tx.query('select pg_backend_pid() as pid')).rows[0]?.pid
      await work(tx)
    })
    advancing.catch(() => {})
    const waits = async (): Promise<unknown> =>
      (await db.pool.query('select wait_event from pg_stat_activity where pid = $1', [pid])).rows
    return { advancing, giving, waits }
  }

  test('in a sleep of an hour', async () => {
    const events = await db.events()
    const { advancing, giving, waits } = await givenUp(events, (tx) => tx.query('select pg_sleep(3600)'))
    await eventually(waits).toEqual([{ wait_event: 'PgSleep' }])
    giving.abort(new Error('it took too long'))
    await expect(advancing).rejects.toThrow('it took too long')
    await eventually(waits).toEqual([])
  })

  test('waiting for a lock that somebody else holds', async () => {
    const events = await db.events()
    const other = await db.session()
    await other.query('begin')
    await other.query(`lock table ${events.name} in access exclusive mode`)
    const { advancing, giving, waits } = await givenUp(events, (tx) => tx.query(`select from ${events.name}`))
    await eventually(waits).toEqual([{ wait_event: 'relation' }])
    giving.abort(new Error('it took too long'))
    await expect(advancing).rejects.toThrow('it took too long')
    await eventually(waits).toEqual([])
    await other.query('rollback')
  })

  test('and nobody else is: neither another process of that number nor another transaction of that process', async () => {
    const session = await db.session()
    await session.query('begin')
    const { rows } = await session.query(
      `select pg_current_xact_id()::text as transaction, pg_backend_pid()::text as pid,
        pg_backend_pid() || '@' || (extract(epoch from backend_start) * 1000000)::bigint as backend
       from pg_stat_activity where pid = pg_backend_pid()`,
    )
    const [own] = rows
    const ended = new UnendedTransactions(boundedPool(db.pool, 10_000))
    const client = await db.pool.connect()
    const unit = wholeUnit('tested')
    for (const other of [
      { ...own, backend: `${own.pid}@0` },
      { ...own, transaction: String(BigInt(own.transaction) + 1n) },
    ]) {
      const unended = new UnendedTransactions(boundedPool(db.pool, 10_000))
      unended.givenUp(unit, { ...other, incarnation: 'i' })
      await unended.requireEnded(boundedClient(client, 10_000), unit, 'i').catch(() => {})
      expect((await session.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    }
    session.on('error', () => {})
    ended.givenUp(unit, { ...own, incarnation: 'i' })
    await eventually(
      async () => (await db.pool.query('select from pg_stat_activity where pid = $1', [own.pid])).rowCount,
    ).toBe(0)
    client.release()
  })
})

test('a transaction that goes on though its server process was told to end is named, with what it waits for', async () => {
  const refused = new Error('remaining connection slots are reserved')
  const pool: BoundedPool = {
    connect: () => Promise.reject(refused),
    pool: { connect: () => Promise.reject(refused) },
    queryTimeoutMs: 1_000,
  }
  const unended = new UnendedTransactions(pool)
  const unit = wholeUnit('tested')
  const of = { transaction: '77', pid: '4711', backend: '4711@1', incarnation: 'first' }
  const sent: string[] = []
  const driver: PgClient = {
    query: async (sql) => {
      sent.push(sql)
      const rows = sql.includes('pg_xact_status')
        ? [{ status: 'in progress', waitsFor: 'IO DataFileRead' }]
        : []
      return { command: 'SELECT', rows, rowCount: rows.length }
    },
    release: () => {},
    on: () => {},
    removeListener: () => {},
  }
  const client = boundedClient(driver, 3_000)
  unended.givenUp(unit, of)
  const error: unknown = await unended.requireEnded(client, unit, 'first').catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'TIDEMARK_TRANSACTION_PENDING',
    projection: 'tested',
    cause: refused,
    message: expect.stringMatching(
      /server process 4711, which waits for IO DataFileRead; it was told to end/,
    ),
  })
  expect(isTransientPostgresError(error)).toBe(true)
  expect(sent[1]).toMatch(/pg_terminate_backend\(a\.pid, 1500\).*4711.*backend_xid = '77'.*'4711@1'/s)
  expect(await unended.requireEnded(client, unit, 'a server that was restarted')).toBe(true)
  expect(await unended.requireEnded(client, unit, 'first'), 'it is forgotten').toBe(false)
})
