import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  agentOver,
  appended,
  asRole,
  checkpointsBeside,
  type EventTable,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  refusal,
  startDaemon,
} from '../../support/event-table.ts'

const db = fileDatabase()

/** A pool of a role that may SELECT from table and sequence, and nothing else. */
async function reader(events: EventTable, more = '') {
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role;
     grant select on ${events.name}, ${events.schema}.events_position_seq to :role; ${more}`,
  )
  return db.newPool(asRole(db.url, role))
}

/** A daemon whose source reads as `pool`'s role projects everything. */
async function expectToProject(events: EventTable, pool: Awaited<ReturnType<typeof reader>>) {
  await events.run(HANDLED)
  await events.append(3)
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  await events.append(3)
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
}

test('a role with no right but SELECT on table and sequence is enough', async () => {
  const events = await db.events()
  await expectToProject(events, await reader(events))
})

test('a role without TEMP, whose transactions are read-only by default, is enough', async () => {
  const events = await db.events()
  const database = new URL(db.url).pathname.slice(1)
  const pool = await reader(
    events,
    `revoke temp on database ${database} from public; alter role :role set default_transaction_read_only = on`,
  )
  const { rows } = await pool.query(
    `select current_setting('transaction_read_only') as read_only,
       has_database_privilege(current_database(), 'TEMP') as may_temp`,
  )
  expect(rows).toEqual([{ read_only: 'on', may_temp: false }])
  await expectToProject(events, pool)
})

test('a role that the login is changed to, which may not see when its own session began, is enough', async () => {
  const events = await db.events(
    `create table events (position bigint generated always as identity primary key); ${HANDLED}`,
  )
  const reading = await db.role(
    `grant usage on schema ${events.schema} to :role;
     grant select on all tables in schema ${events.schema} to :role;
     grant select on all sequences in schema ${events.schema} to :role;
     grant insert on ${events.schema}.handled to :role;
     create schema authorization :role`,
  )
  const login = await db.role(`grant ${reading} to :role; alter role :role set role = ${reading}`)
  const pool = db.newPool(asRole(db.url, login))
  await events.append(5)
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside({ ...events, schema: reading }, pool),
    projections: [recorder(events, 'all', { batchSize: 2 })],
  })
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
})

test.each(['repeatable read', 'serializable'])(
  'a default isolation of %s changes nothing, for the source or for checkpoints',
  async (isolation) => {
    const events = await db.events(
      `create table events (position bigint generated always as identity primary key); ${HANDLED}`,
    )
    const role = await db.role(
      `grant usage on schema ${events.schema} to :role;
       grant select on all tables in schema ${events.schema} to :role;
       grant select on all sequences in schema ${events.schema} to :role;
       grant insert on ${events.schema}.handled to :role;
       create schema authorization :role;
       alter role :role set default_transaction_isolation = '${isolation}'`,
    )
    const pool = db.newPool(asRole(db.url, role))
    const holder = await db.session()
    await holder.query('begin')
    await holder.query(`insert into ${events.name} default values`)
    await events.append(5)
    const daemons = [1, 2].map(() =>
      startDaemon({
        source: postgresEvents({ pool, table: events.name }),
        checkpoints: checkpointsBeside({ ...events, schema: role }, pool),
        projections: [recorder(events, 'all')],
      }),
    )
    const [first, second] = await Promise.all(daemons)
    await holder.query('commit')
    await events.append(5)
    await first?.waitUntilProjected()
    await second?.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'all')).toEqual(await appended(db.pool, events))
    await Promise.all([first?.stop(), second?.stop()])
  },
)

test('refuses a role that may not read the sequence, and names the grant', async () => {
  const events = await db.events()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant select on ${events.name} to :role`,
  )
  const pool = db.newPool(asRole(db.url, role))
  const error = await refusal({ pool, table: events.name })
  expect(error).toMatchObject({ condition: 'sequence_privilege' })
  expect(error.message).toMatch(
    /may not read the sequence \S*events_position_seq; run\n {2}GRANT SELECT ON SEQUENCE \S*events_position_seq TO \S+;/,
  )
  await db.pool.query(`grant select on ${events.schema}.events_position_seq to ${role}`)
  await agentOver({ pool, table: events.name })
})

test('USAGE on the sequence is no SELECT', async () => {
  const events = await db.events()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role; grant select on ${events.name} to :role;
     grant usage on sequence ${events.schema}.events_position_seq to :role`,
  )
  const error = await refusal({ pool: db.newPool(asRole(db.url, role)), table: events.name })
  expect(error).toMatchObject({ condition: 'sequence_privilege' })
})

test('refuses a role that may not read the table', async () => {
  const events = await db.events()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role;
     grant select on sequence ${events.schema}.events_position_seq to :role`,
  )
  const error = await refusal({ pool: db.newPool(asRole(db.url, role)), table: events.name })
  expect(error).toMatchObject({ condition: 'table_privilege' })
  expect(error.message).toMatch(
    /may not read .*"position".*; run\n {2}GRANT SELECT ON "s\d+"\."events" TO \S+;/,
  )
})

test('refuses a column that the role may not read, unless it is left out', async () => {
  const events = await db.events()
  const role = await db.role(
    `grant usage on schema ${events.schema} to :role;
     grant select on sequence ${events.schema}.events_position_seq to :role;
     grant select (position, type) on ${events.name} to :role`,
  )
  const pool = db.newPool(asRole(db.url, role))
  const error = await refusal({ pool, table: events.name })
  expect(error).toMatchObject({ condition: 'table_privilege' })
  expect(error.message).toMatch(/may not read "data" of/)
  expect(await refusal({ pool, table: events.name, columns: ['data'] })).toMatchObject({
    condition: 'table_privilege',
  })
  await agentOver({ pool, table: events.name, columns: ['type'], eventType: 'type' })
})

test.each([
  [{ columns: ['type', 'Data'] }, /no column "Data", which the option columns names/],
  [{ eventType: 'kind' }, /no column "kind", which the option eventType names/],
])('refuses %o, which the table lacks', async (options, says) => {
  const events = await db.events()
  const error = await refusal({ pool: db.pool, table: events.name, ...options })
  expect(error).toMatchObject({ condition: 'columns_exist' })
  expect(error.message).toMatch(says)
})

test('refuses a reader from whom row security hides rows, not one that sees them all', async () => {
  const events = await db.events()
  const pool = await reader(events)
  await events.run('alter table events enable row level security')
  const error = await refusal({ pool, table: events.name })
  expect(error).toMatchObject({ condition: 'row_security' })
  expect(error.message).toMatch(/row security hides rows of "s\d+"\."events".* BYPASSRLS/)
  // The superuser that owns it.
  await agentOver({ pool: db.pool, table: events.name })
})

test('refuses even the owner where row security is forced', async () => {
  const events = await db.events()
  const owner = await db.role(
    `alter schema ${events.schema} owner to :role; alter table ${events.name} owner to :role`,
  )
  const pool = db.newPool(asRole(db.url, owner))
  await events.run('alter table events enable row level security')
  await agentOver({ pool, table: events.name })
  await events.run('alter table events force row level security')
  expect(await refusal({ pool, table: events.name })).toMatchObject({ condition: 'row_security' })
})

test('row security that is switched on under a running daemon stops it before it passes what is hidden', async () => {
  const events = await db.events()
  await events.run(HANDLED)
  const daemon = await startDaemon({
    source: postgresEvents({ pool: await reader(events), table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  await events.append(2)
  await daemon.waitUntilProjected()

  await events.run('create policy odd on events for select using (position % 2 = 1)')
  await events.run('alter table events enable row level security')
  await events.append(3)
  await eventually(() => daemon.status().highWater.error).toMatchObject({ condition: 'row_security' })
  await events.run('alter table events disable row level security')
  await daemon.stop()

  const again = await startDaemon({
    source: postgresEvents({ pool: db.pool, table: events.name }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  await again.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n, 3n, 4n, 5n])
})
