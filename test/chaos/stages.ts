import type { Daemon, Projection, ProjectionStatus } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { type PgClient, type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { Client, Pool } from 'pg'
import { expect } from 'vitest'
import { gate } from '../core/rig.ts'
import {
  appended,
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  type FileDatabase,
  HANDLED,
  handledBy,
  recorder,
  startDaemon,
} from '../support/event-table.ts'

/** Every policy has a projection of its own in each daemon here. */
const POLICIES = ['pause', 'skip', 'park_key', 'function'] as const
type Policy = (typeof POLICIES)[number]
type Handler = Projection<PostgresRow, PgClient>['handle']

interface Given {
  readonly events: EventTable
  /** Under which the daemon works. */
  readonly role: string
  /** What somebody else holds meanwhile. */
  readonly other: Client
  /** Ends those server processes of the daemon. */
  readonly kill: (where: string) => Promise<void>
}

/** A fault of the store, or one that passes as those do: no policy is asked. */
export interface StoreFault {
  /** As it is told. */
  readonly stage: 'read' | 'handle' | 'commit'
  readonly breaks: (given: Given) => Promise<unknown>
  /** Again and again, until it is told. */
  readonly keeps?: (given: Given) => Promise<unknown>
  readonly mends: (given: Given) => Promise<unknown>
  /** What each call of the handler begins with. */
  readonly asks?: (tx: PgClient) => Promise<unknown>
  readonly queryTimeoutMs?: number
  /** What `status()` has as its error. */
  readonly says?: { readonly code: string; readonly message: RegExp }
}

const lockEvents = async ({ other, events }: Given): Promise<void> => {
  await other.query('begin')
  await other.query(`lock table ${events.name} in access exclusive mode`)
}
const letGo = ({ other }: Given): Promise<unknown> => other.query('rollback')
/** Whoever comes to it waits until the other lets go. */
const holdUp = async ({ other }: Given): Promise<void> => {
  await other.query('begin')
  await other.query('select pg_advisory_xact_lock(4711)')
}
const KILL_WAITING = ({ kill }: Given): Promise<void> => kill("wait_event_type = 'Lock'")
const HELD_UP = 'select pg_advisory_xact_lock_shared(4711)'

/** With each row that is written there, and what takes it away. */
const trigger = (table: 'handled' | 'checkpoints', body: string) => ({
  breaks: ({ events }: Given) =>
    events.run(`create function harm() returns trigger language plpgsql as $$ begin ${body}; return new; end $$;
      create trigger harm before insert or update on ${table} for each row execute function harm()`),
  mends: ({ events }: Given) => events.run(`drop trigger harm on ${table}`),
})
const FULL_DISK = `raise exception 'could not extend file: No space left on device' using errcode = '53100'`
const HELD_UP_AT_COMMIT = trigger('checkpoints', HELD_UP.replace('select', 'perform'))

/** What store or network do, by the phase in which they do it. */
export const STORE_FAULTS: Readonly<Record<string, StoreFault>> = {
  'read: the event table is renamed': {
    stage: 'read',
    breaks: ({ events }) => events.run('alter table events rename to events_away'),
    mends: ({ events }) => events.run('alter table events_away rename to events'),
  },
  'read: a column of the event table is renamed': {
    stage: 'read',
    breaks: ({ events }) => events.run('alter table events rename position to place'),
    mends: ({ events }) => events.run('alter table events rename place to position'),
  },
  'read: the right to read the event table is revoked (42501)': {
    stage: 'read',
    breaks: ({ events, role }) => events.run(`revoke select on events from ${role}`),
    mends: ({ events, role }) => events.run(`grant select on events to ${role}`),
  },
  'read: the server processes are ended (57P01)': {
    stage: 'read',
    breaks: lockEvents,
    keeps: KILL_WAITING,
    mends: letGo,
  },
  'read: the table stays locked (55P03)': { stage: 'read', breaks: lockEvents, mends: letGo },
  'read: statements take too long (57014)': {
    stage: 'read',
    breaks: lockEvents,
    mends: letGo,
    queryTimeoutMs: 400,
  },
  'handle: the server process is ended in a statement of the handler (57P01)': {
    stage: 'commit',
    breaks: holdUp,
    keeps: KILL_WAITING,
    mends: letGo,
    asks: (tx) => tx.query(HELD_UP),
  },
  'handle: a lock that the handler wants is not free (55P03)': {
    stage: 'handle',
    breaks: holdUp,
    mends: letGo,
    asks: async (tx) => {
      await tx.query('set local lock_timeout = 50')
      await tx.query(HELD_UP)
    },
  },
  'handle: the disk is full, as a trigger says (53100)': {
    stage: 'handle',
    ...trigger('handled', FULL_DISK),
  },
  'handle: the store wants the transaction again, as a trigger says (40001)': {
    stage: 'handle',
    ...trigger('handled', `raise exception 'could not serialize access' using errcode = '40001'`),
  },
  'commit: the right to move checkpoints is revoked (42501)': {
    stage: 'commit',
    breaks: ({ events, role }) => events.run(`revoke update on checkpoints from ${role}`),
    mends: ({ events, role }) => events.run(`grant update on checkpoints to ${role}`),
  },
  'commit: the server is read-only (25006)': {
    stage: 'commit',
    breaks: async ({ events, role, kill }) => {
      await events.run(`alter role ${role} set default_transaction_read_only = on`)
      await kill('true')
    },
    mends: async ({ events, role, kill }) => {
      await events.run(`alter role ${role} reset default_transaction_read_only`)
      await kill('true')
    },
  },
  'commit: the disk is full, as a trigger says (53100)': {
    stage: 'commit',
    ...trigger('checkpoints', FULL_DISK),
  },
  'commit: the server process is ended (57P01)': {
    stage: 'commit',
    breaks: async (given) => {
      await holdUp(given)
      await HELD_UP_AT_COMMIT.breaks(given)
    },
    keeps: KILL_WAITING,
    mends: letGo,
  },
  'commit: the statement takes too long (57014)': {
    stage: 'commit',
    breaks: async (given) => {
      await holdUp(given)
      await HELD_UP_AT_COMMIT.breaks(given)
    },
    mends: letGo,
    queryTimeoutMs: 400,
  },
}

/** What handler or mapping do at the event at 4. */
export interface OwnFault {
  readonly stage: 'handle' | 'map'
  readonly fails: (tx: PgClient) => Promise<unknown>
  readonly handlerTimeoutMs?: number
}

const thrown = (reason: unknown) => () => Promise.reject(reason)
const IN_MAPPING = () => Promise.resolve()

export const OWN_FAULTS: Readonly<Record<string, OwnFault>> = {
  'handle: throws': { stage: 'handle', fails: thrown(new Error('cannot handle it')) },
  'handle: throws null': { stage: 'handle', fails: thrown(null) },
  'handle: what it calls refuses its connection (ECONNREFUSED)': {
    stage: 'handle',
    fails: thrown(Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:25'), { code: 'ECONNREFUSED' })),
  },
  'handle: loses a connection of its own, to another database': {
    stage: 'handle',
    fails: thrown(new Error('Connection terminated unexpectedly')),
  },
  'handle: another database, of its own, is shut down (57P01)': {
    stage: 'handle',
    fails: thrown(Object.assign(new Error('terminating connection'), { code: '57P01' })),
  },
  'handle: runs into a statement_timeout of its own (57014)': {
    stage: 'handle',
    fails: async (tx) => {
      await tx.query('set local statement_timeout = 50')
      await tx.query('select pg_sleep(60)')
    },
  },
  'handle: has no right to a table of its own (42501)': {
    stage: 'handle',
    fails: (tx) => tx.query('select from pg_authid'),
  },
  'handle: goes on after a statement that has failed (25P02)': {
    stage: 'handle',
    fails: (tx) => tx.query('select 1 / 0').catch(() => {}),
  },
  'handle: hangs in a statement': {
    stage: 'handle',
    fails: (tx) => tx.query('select pg_sleep(600)'),
    handlerTimeoutMs: 400,
  },
  'handle: hangs outside of the database': {
    stage: 'handle',
    fails: () => new Promise(() => {}),
    handlerTimeoutMs: 400,
  },
  'commit: a deferred constraint refuses it (23505)': {
    stage: 'handle',
    fails: async (tx) => {
      await tx.query('create temp table once (n int unique deferrable initially deferred) on commit drop')
      await tx.query('insert into once values (1), (1)')
    },
  },
  'map: throws': { stage: 'map', fails: IN_MAPPING },
  'map: throws null': { stage: 'map', fails: IN_MAPPING },
}

interface Outcome {
  readonly state: 'paused' | 'live'
  readonly position: bigint
  readonly skipped: bigint
  readonly handled: readonly bigint[]
  readonly letters: readonly string[]
}

const STANDS: Outcome = { state: 'paused', position: 3n, skipped: 0n, handled: [1n, 2n, 3n], letters: [] }
const passes = (stage: string): Outcome => ({
  state: 'live',
  position: 6n,
  skipped: 1n,
  handled: [1n, 2n, 3n, 5n, 6n],
  letters: [`4 ${stage}`],
})
/** The events at 4 and 6 have one key. */
const PARKS: Outcome = {
  state: 'live',
  position: 6n,
  skipped: 2n,
  handled: [1n, 2n, 3n, 5n],
  letters: ['4 handle', '6 parked'],
}

/** What becomes of an event that handler or mapping fail at. What cannot be mapped has no key. */
const OUTCOMES: Readonly<Record<OwnFault['stage'], Readonly<Record<Policy, Outcome>>>> = {
  handle: { pause: STANDS, skip: passes('handle'), park_key: PARKS, function: passes('handle') },
  map: { pause: STANDS, skip: passes('map'), park_key: STANDS, function: passes('map') },
}

const positionOf = ({ position }: PostgresRow): bigint => BigInt(String(position))

function projectionOf(
  events: EventTable,
  policy: Policy,
  before: (...args: Parameters<Handler>) => Promise<void>,
): Projection<PostgresRow, PgClient> {
  const { handle } = recorder(events, policy)
  return {
    name: policy,
    attempts: 1,
    batchSize: 3,
    longestPauseMs: 1_000,
    onFailure: policy === 'function' ? ({ tries }) => (tries < 2 ? 'retry' : 'skip') : policy,
    ...(policy === 'park_key'
      ? { keyOf: (row) => (positionOf(row) === 6n ? '4' : String(positionOf(row))) }
      : {}),
    handle: async (page, context) => {
      await before(page, context)
      await handle(page, context)
    },
  }
}

async function tableOf(db: FileDatabase, count: number): Promise<EventTable> {
  const events = await db.events()
  await events.run(HANDLED)
  await events.append(count)
  await checkpointsBeside(events, db.pool).prepare?.(new AbortController().signal)
  return events
}

const byPolicy = (daemon: Daemon<bigint>): Readonly<Record<string, ProjectionStatus<bigint>>> =>
  Object.fromEntries(daemon.status().projections.map((status) => [status.name, status]))

const forEach = <T>(outcome: (policy: Policy) => T): Record<Policy, T> =>
  Object.fromEntries(POLICIES.map((policy) => [policy, outcome(policy)])) as Record<Policy, T>

const saying = (says: StoreFault['says']) =>
  says && { error: { code: says.code, message: expect.stringMatching(says.message) } }

/** The fault is told, blamed on no event, and gone without a trace once it is mended. */
export async function expectBlameless(db: FileDatabase, fault: StoreFault): Promise<void> {
  const { stage, breaks, keeps, mends, asks, queryTimeoutMs = 30_000, says } = fault
  const events = await tableOf(db, 12)
  const role = await workingRole(db, events)
  const other = await db.session()
  const pool: Pool = db.newPool({ ...asRole(db.url, role), max: 20 })
  const kill = async (where: string): Promise<void> => {
    const sql = `select pg_terminate_backend(pid) from pg_stat_activity where usename = $1 and ${where}`
    await db.pool.query(sql, [role])
  }
  const given = { events, role, other, kill }
  const goOn = gate()
  const handling = new Set<Policy>()
  const blamed: unknown[] = []
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, queryTimeoutMs }),
    checkpoints: postgresCheckpoints({ pool, schema: events.schema, queryTimeoutMs }),
    telemetry: {
      handlerFailed: ({ error, attempt }) => {
        if (attempt > 0) blamed.push(error)
      },
    },
    projections: POLICIES.map((policy) => ({
      ...projectionOf(events, policy, async (_, { tx }) => {
        handling.add(policy)
        await goOn.promise
        await asks?.(tx)
      }),
      // Nothing is narrowed first.
      batchSize: 1,
    })),
  })
  await eventually(() => handling.size).toBe(POLICIES.length)
  await breaks(given)
  goOn.open()
  await eventually(async () => {
    await keeps?.(given)
    return byPolicy(daemon)
  }).toMatchObject(
    forEach(() => ({ state: 'retrying', skipped: {}, failure: { stage, attempt: 0 }, ...saying(says) })),
  )
  await mends(given)
  await events.append(3)
  await daemon.waitUntilProjected({ timeoutMs: 60_000 })
  const everything = await appended(db.pool, events)
  for (const policy of POLICIES) expect(await handledBy(db.pool, events, policy)).toEqual(everything)
  expect(byPolicy(daemon)).toMatchObject(forEach(() => ({ state: 'live', skipped: {}, failure: undefined })))
  expect(blamed).toEqual([])
  const { rows } = await db.pool.query(`select from ${events.schema}.dead_letters`)
  expect(rows).toEqual([])
}

async function outcomes(db: FileDatabase, events: EventTable, daemon: Daemon<bigint>) {
  const status = byPolicy(daemon)
  const checkpoints = checkpointsBeside(events, db.pool)
  const letters = await createOperations({ checkpoints }).deadLetters.list()
  const handled = await Promise.all(POLICIES.map((policy) => handledBy(db.pool, events, policy)))
  return forEach((policy) => ({
    state: status[policy]?.state,
    position: status[policy]?.position,
    skipped: status[policy]?.skipped?.apply_error ?? 0n,
    handled: handled[POLICIES.indexOf(policy)],
    letters: letters
      .filter(({ projection }) => projection === policy)
      .map((letter) => `${letter.firstPosition} ${letter.stage}`),
  }))
}

/** Each policy does what its row says, and every event is handled once when handler or mapping are mended. */
export async function expectDecided(db: FileDatabase, name: string, fault: OwnFault): Promise<void> {
  const { stage, fails, handlerTimeoutMs } = fault
  const events = await tableOf(db, 6)
  const pool = db.newPool({ max: 20, ...asRole(db.url, await workingRole(db, events)) })
  let isMended = false
  const isHit = (row: PostgresRow): boolean => !isMended && positionOf(row) === 4n
  const source = postgresEvents({
    pool,
    table: events.name,
    eventType: 'type',
    mapRow: (row) => {
      if (stage !== 'map' || !isHit(row)) return row
      throw name.endsWith('null') ? null : new Error('cannot map it')
    },
  })
  const checkpoints = checkpointsBeside(events, pool)
  const daemon = await startDaemon({
    source,
    checkpoints,
    projections: POLICIES.map((policy) => {
      const projection = projectionOf(events, policy, async () => {})
      return {
        ...projection,
        ...(handlerTimeoutMs === undefined ? {} : { handlerTimeoutMs }),
        handle: async (page, context) => {
          await projection.handle(page, context)
          if (page.some(isHit)) await fails(context.tx)
        },
      } satisfies Projection<PostgresRow, PgClient>
    }),
  })
  const operations = createOperations({ checkpoints, source })
  await eventually(() => outcomes(db, events, daemon)).toEqual(OUTCOMES[stage])
  isMended = true
  const withLetters = POLICIES.filter((policy) => OUTCOMES[stage][policy].letters.length > 0)
  await Promise.all(
    withLetters.map((projection) => operations.deadLetters.retry({ projection, who: 'ann', why: 'mended' })),
  )
  const everything = await appended(db.pool, events)
  await eventually(async () => {
    const handled = await Promise.all(POLICIES.map((policy) => handledBy(db.pool, events, policy)))
    return handled.map((positions) => [...positions].sort((a, b) => Number(a - b)))
  }).toEqual(POLICIES.map(() => everything))
}

/** While no dead letter can be written, nothing is given up; once it can, each policy does what its row says. */
export async function expectUnburied(
  db: FileDatabase,
  { breaks, mends, code }: { readonly breaks: () => void; readonly mends: () => void; readonly code: string },
): Promise<void> {
  const events = await tableOf(db, 6)
  const goOn = gate()
  const failing = new Set<Policy>()
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name, eventType: 'type' }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: POLICIES.map((policy) => {
      const projection = projectionOf(events, policy, async () => {})
      return {
        ...projection,
        handle: async (page, context) => {
          await projection.handle(page, context)
          if (!page.some((row) => positionOf(row) === 4n)) return
          failing.add(policy)
          await goOn.promise
          throw new Error('cannot handle it')
        },
      } satisfies Projection<PostgresRow, PgClient>
    }),
  })
  await eventually(() => failing.size).toBe(POLICIES.length)
  breaks()
  goOn.open()
  const stands = { position: 3n, skipped: {} }
  const waits = { ...stands, state: 'retrying', failure: { stage: 'commit' }, error: { cause: { code } } }
  await eventually(() => byPolicy(daemon)).toMatchObject({
    ...forEach(() => waits),
    pause: { ...stands, state: 'paused', failure: { stage: 'handle' } },
  })
  mends()
  await eventually(() => outcomes(db, events, daemon)).toEqual(OUTCOMES.handle)
}

/** Whatever the policy: what it has committed by itself would be committed again. */
export async function expectStandstill(db: FileDatabase): Promise<void> {
  const events = await tableOf(db, 6)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: POLICIES.map((policy) => {
      const projection = projectionOf(events, policy, async () => {})
      return {
        ...projection,
        handle: async (page, context) => {
          await projection.handle(page, context)
          if (page.some((row) => positionOf(row) === 4n)) await context.tx.query('commit')
        },
      } satisfies Projection<PostgresRow, PgClient>
    }),
  })
  await eventually(() => byPolicy(daemon)).toMatchObject(
    forEach(() => ({
      state: 'paused',
      position: 3n,
      skipped: {},
      error: { code: 'TIDEMARK_HANDLER_ENDED_TRANSACTION' },
      failure: { stage: 'handle', nextTryAtMs: undefined },
    })),
  )
  // What the handler has committed by itself, once.
  for (const policy of POLICIES) {
    expect(await handledBy(db.pool, events, policy)).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
  }
}

const workingRole = (db: FileDatabase, { schema }: EventTable): Promise<string> =>
  db.role(`grant usage on schema ${schema} to :role;
    grant select, insert, update on all tables in schema ${schema} to :role;
    grant usage, select on all sequences in schema ${schema} to :role;
    grant temporary on database ${new URL(db.url).pathname.slice(1)} to :role`)
