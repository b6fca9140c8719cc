import { postgresEvents } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import {
  agentOver,
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  refusal,
  startDaemon,
} from '../../support/event-table.ts'

const db = fileDatabase()

/** As Marten's is, in append mode Quick: writers call `nextval` themselves. */
const NO_DEFAULT = `create sequence numbers;
  create table events (position bigint primary key, type text default 'any', other bigint);`
const OWNED = `${NO_DEFAULT} alter sequence numbers owned by events.position;`
const insert = (schema: string, value = `nextval('${schema}.numbers')`) =>
  `insert into ${schema}.events (position) values (${value})`

const contradictions: Record<string, { ddl: string; sequence: string; says: RegExp; remedy: string }> = {
  'names nothing': {
    ddl: NO_DEFAULT,
    sequence: 'nombres',
    says: /no sequence "s\d+"\."nombres" in this database/,
    remedy: 'alter sequence numbers rename to nombres',
  },
  'is not the one of the default': {
    ddl: `${NO_DEFAULT} create sequence others; alter table events alter position set default nextval('others');`,
    sequence: 'numbers',
    says: /is filled from s\d+\.others, by its default or identity, but .* names "s\d+"\."numbers"; leave the option out/,
    remedy: "alter table events alter position set default nextval('numbers')",
  },
  'is not the one that the column owns': {
    ddl: `${OWNED} create sequence others;`,
    sequence: 'others',
    says: /owns the sequence s\d+\.numbers, .*\n {2}ALTER SEQUENCE s\d+\.numbers OWNED BY NONE;/,
    remedy: 'alter sequence numbers owned by none',
  },
  'fills another column': {
    ddl: `${NO_DEFAULT} alter table events alter other set default nextval('numbers');`,
    sequence: 'numbers',
    says: /numbers fills "other", not "position" .* Set the option position: "other"/,
    remedy: 'alter table events alter other drop default',
  },
  'hands out blocks': {
    ddl: `${NO_DEFAULT} alter sequence numbers increment 50;`,
    sequence: 'numbers',
    says: /INCREMENT 50, which is how hi\/lo allocators announce themselves/,
    remedy: 'alter sequence numbers increment 1',
  },
  'has a cache': {
    ddl: `${NO_DEFAULT} alter sequence numbers cache 20;`,
    sequence: 'numbers',
    says: /CACHE 20/,
    remedy: 'alter sequence numbers cache 1',
  },
}

test.each(Object.entries(contradictions))(
  'refuses a named sequence that %s, and starts once that is remedied',
  async (_, { ddl, sequence, says, remedy }) => {
    const events = await db.events(ddl)
    const options = { pool: db.pool, table: events.name, sequence }
    const error = await refusal(options)
    expect(error.message).toMatch(says)
    await events.run(remedy)
    expect((await agentOver(options)).status()).toMatchObject({ state: 'polling', error: undefined })
  },
)

test.each([
  ['neither default nor owned sequence', NO_DEFAULT, /name that sequence in the option sequence/],
  ['an owned sequence and no default', OWNED, /Then set the option sequence: "s\d+\.numbers"/],
])('never accepts %s silently', async (_, ddl, says) => {
  const events = await db.events(ddl)
  const error = await refusal({ pool: db.pool, table: events.name })
  expect(error).toMatchObject({ condition: 'sequence_found' })
  expect(error.message).toMatch(says)
})

test.each([
  ['that is owned', OWNED],
  ['that nobody owns', NO_DEFAULT],
])('a named sequence %s: a writer that stays open holds up the mark, and is not lost', async (_, ddl) => {
  const events = await db.events(`${ddl} ${HANDLED}`)
  // Another one of this name on the search path is not taken.
  const pool = db.newPool({ options: '-c search_path=elsewhere' })
  await db.pool.query(
    'create schema if not exists elsewhere; create sequence if not exists elsewhere.numbers',
  )
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name, sequence: 'numbers' }),
    checkpoints: checkpointsBeside(events, db.pool),
    projections: [recorder(events, 'all')],
  })
  const slow = await db.session()
  await slow.query(`begin; ${insert(events.schema)}`)
  await events.run(insert(events.schema))
  await eventually(() => daemon.status().highWater.gaps).toMatchObject([{ from: 1n, to: 1n }])
  await slow.query('commit')
  await daemon.waitUntilProjected()
  expect(await handledBy(db.pool, events, 'all')).toEqual([1n, 2n])
})

test('a number that was taken ahead halts, and is told', async () => {
  const events = await db.events(NO_DEFAULT)
  const agent = await agentOver({ pool: db.pool, table: events.name, sequence: 'numbers' })
  await events.run("select nextval('numbers')")
  await events.run(insert(events.schema))
  await agent.waitFor(2n)
  await events.run(insert(events.schema, '1'))
  await eventually(() => agent.status()).toMatchObject({
    state: 'halted',
    error: { events: [{ position: '1' }] },
  })
})

test.each([
  [
    'another sequence gets the name',
    'alter sequence numbers rename to former; create sequence numbers start 100',
  ],
  ['it is dropped and made again further up', 'drop sequence numbers; create sequence numbers start 100'],
  ['it gets another file', 'alter sequence numbers restart with 100'],
])('goes on where %s', async (_, change) => {
  const events = await db.events(NO_DEFAULT)
  await events.run(insert(events.schema))
  const agent = await agentOver({ pool: db.newPool({ max: 1 }), table: events.name, sequence: 'numbers' })
  await agent.freshReading()
  await events.run(change)
  await events.run(insert(events.schema))
  const { head, mark } = await agent.freshReading()
  expect({ head, mark }).toEqual({ head: 100n, mark: 100n })
})

test('a condition that the named sequence breaks under the running agent is told', async () => {
  const events = await db.events(NO_DEFAULT)
  const agent = await agentOver({ pool: db.pool, table: events.name, sequence: 'numbers' })
  await events.run('alter sequence numbers increment 50')
  await events.run(insert(events.schema))
  await eventually(() => agent.status().error).toMatchObject({ condition: 'sequence_increment' })
  await events.run('drop sequence numbers')
  await eventually(() => agent.status().error).toMatchObject({ condition: 'sequence_found' })
})

test('a mode that proves nothing hears a named sequence too', async () => {
  const events = await db.events(NO_DEFAULT)
  const stale = { pool: db.pool, table: events.name, highWater: { mode: 'stale-threshold' } } as const
  expect(await refusal({ ...stale, sequence: 'nombres' })).toMatchObject({ condition: 'sequence_found' })
  await agentOver({ ...stale, sequence: 'numbers' })
})
