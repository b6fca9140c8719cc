import { type Unit, wholeUnit } from '@tidemark/core/adapter'
import { isTransientPostgresError, postgresCheckpoints, postgresCheckpointsSql } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import {
  createVersions,
  insertVersion,
  MIGRATIONS,
} from '../../../packages/pg-adapter/src/migrations/migrations.ts'
import { asRole, eventually, fileDatabase } from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const db = fileDatabase()

const prepare = async (pool: Pool, schema: string) => {
  await postgresCheckpoints({ pool, schema }).prepare?.(never())
}

/** Columns, defaults, keys and comments: all that a migration makes, without oids. */
async function shapeOf(schema: string) {
  const { rows } = await db.pool.query(
    `select c.relname, a.attname, a.atttypid::regtype::text as type, a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid) as default, col_description(c.oid, a.attnum) as comment,
       obj_description(c.oid) as of_table,
       (select pg_get_constraintdef(k.oid) from pg_constraint k where k.conrelid = c.oid and k.contype = 'p') as key
     from pg_class c
     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
     left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
     where c.relnamespace = to_regnamespace($1) and c.relkind = 'r'
     order by c.relname, a.attnum`,
    [`"${schema.replaceAll('"', '""')}"`],
  )
  return rows
}

const VERSIONS = MIGRATIONS.map(({ version }) => version)
const versions = async (schema: string) =>
  (await db.pool.query(`select version from ${schema}.migrations`)).rows.map((row) => row.version)

test('makes its tables, and does nothing the second time', async () => {
  await prepare(db.pool, 'twice')
  const shape = await shapeOf('twice')
  expect([...new Set(shape.map((column) => column.relname))]).toEqual([
    'audit',
    'checkpoints',
    'dead_letter_counts',
    'dead_letters',
    'late_event_units',
    'late_events',
    'lost_event_totals',
    'lost_events',
    'migrations',
    'node_audit',
    'nodes',
    'passed_positions',
    'projection_failures',
    'settled',
    'skips',
  ])
  await prepare(db.pool, 'twice')
  expect(await shapeOf('twice')).toEqual(shape)
  expect(await versions('twice')).toEqual(VERSIONS)
})

/** Tables as a daemon of that version has left them. */
async function ofVersion(version: number, schema: string): Promise<void> {
  const applied = MIGRATIONS.filter((migration) => migration.version <= version)
  await db.pool.query(
    [
      `create schema ${schema};`,
      createVersions(schema),
      ...applied.map((migration) => `${insertVersion(schema, migration)} ${migration.sql(schema)}`),
    ].join('\n'),
  )
}

test('a batch of an earlier daemon does not make its migration wait long, with every other projection behind it', async () => {
  const schema = 'in_use'
  await ofVersion(2, schema)
  await db.pool.query(
    `insert into ${schema}.checkpoints (projection, source) values ('long', 's'), ('other', 's')`,
  )
  const batch = await db.pool.connect()
  try {
    await batch.query(`begin; select from ${schema}.checkpoints where projection = 'long' for update`)
    const error = await prepare(db.newPool(), schema).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: '55P03' })
    expect(isTransientPostgresError(error)).toBe(true)
    const waiting = `select from pg_locks where relation = '${schema}.checkpoints'::regclass and not granted`
    await eventually(async () => (await db.pool.query(waiting)).rowCount).toBe(0)
    const other = `update ${schema}.checkpoints set position = '1' where projection = 'other'`
    expect((await db.pool.query(other)).rowCount).toBe(1)
    expect(await versions(schema)).toEqual([1, 2])
    await batch.query('commit')
    await prepare(db.newPool(), schema)
    expect(await versions(schema)).toEqual(VERSIONS)
  } finally {
    batch.release(true)
  }
})

test('a database of the first version opens with every checkpoint, total and settled position as it was', async () => {
  const schema = 'first_version'
  await ofVersion(1, schema)
  await db.pool.query(
    `insert into ${schema}.checkpoints
       (projection, source, position, settled, incarnation, log_position, started_at_head, skipped)
     values ('all', 's', '12', '14', 'run 1', '0/1', '9', '{"historical_gap": 2, "stale_high_water_mark": 3}'),
       ('not begun', 's', null, null, null, null, null, '{}');
     insert into ${schema}.settled (source, settled, incarnation, log_position) values ('s', '20', 'run 2', '0/2');
     insert into ${schema}.skips (source, current, stored, count) values ('s', 16, 14, 1)`,
  )
  await prepare(db.pool, schema)
  const store = postgresCheckpoints({ pool: db.pool, schema })
  const skipped = { historical_gap: 2n, stale_high_water_mark: 3n }
  const all = wholeUnit('all')
  expect(await store.open(all, { source: 's', head: '99' }, never())).toEqual({
    position: '12',
    skipped,
    role: 'live',
    decided: { atMs: undefined, answered: undefined },
  })
  expect(await store.read(all, never())).toEqual({ unit: all, source: 's', position: '12', skipped })
  const progress = await store.progress('s', never())
  expect(progress).toHaveLength(3)
  expect(progress).toEqual(
    expect.arrayContaining([
      { unit: all, position: '12', settled: '14', incarnation: 'run 1', logPosition: '0/1' },
      { unit: wholeUnit('not begun'), position: undefined, settled: undefined, logPosition: undefined },
      { unit: undefined, position: undefined, settled: '20', incarnation: 'run 2', logPosition: '0/2' },
    ]),
  )
  const notBegun = wholeUnit('not begun')
  await store.open(notBegun, { source: 's', head: '15' }, never())
  const rest = { source: 's', evidence: { incarnation: 'i', settled: '17', logPosition: undefined } }
  const advance = (unit: Unit, from: string | undefined) =>
    store.advance({ ...rest, unit, from, to: '17', signal: new AbortController().signal }, async () => {})
  // What the first process saw as the head is kept; whoever had none stored starts now.
  expect(await advance(all, '12')).toMatchObject({ skipped: { ...skipped, stale_high_water_mark: 4n } })
  expect(await advance(notBegun, undefined)).toMatchObject({ skipped: { stale_high_water_mark: 1n } })
})

test.each(['read committed', 'repeatable read', 'serializable'])(
  'may run from eight connections at once, with a default isolation of %s',
  async (isolation) => {
    const schema = isolation.replace(' ', '_')
    const pool = db.newPool({ options: `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}` })
    await Promise.all(Array.from({ length: 8 }, () => prepare(pool, schema)))
    expect(await versions(schema)).toEqual(VERSIONS)
  },
)

test('its printed SQL makes the same tables, after which it does nothing', async () => {
  await prepare(db.pool, 'made')
  await db.pool.query(postgresCheckpointsSql({ schema: 'printed' }))
  expect(await shapeOf('printed')).toEqual(await shapeOf('made'))
  await prepare(db.pool, 'printed')
  expect(await versions('printed')).toEqual(VERSIONS)
})

test('the default schema is tidemark', async () => {
  await db.pool.query(postgresCheckpointsSql())
  await postgresCheckpoints({ pool: db.pool }).prepare?.(never())
  expect(await versions('tidemark')).toEqual(VERSIONS)
})

test('takes a schema whose name needs quotes', async () => {
  const schema = 'Odd "Schema".x\'y'
  await prepare(db.pool, schema)
  const store = postgresCheckpoints({ pool: db.pool, schema })
  await store.prepare?.(never())
  expect(await store.open(wholeUnit('p'), { source: 's', head: undefined }, never())).toEqual({
    position: undefined,
    skipped: {},
    role: 'live',
    decided: { atMs: undefined, answered: undefined },
  })
  expect(await shapeOf(schema)).not.toEqual([])
})

test('a role that may create nothing uses tables that are there', async () => {
  await prepare(db.pool, 'given')
  const role = await db.role(`grant usage on schema given to :role;
    grant select, insert, update on all tables in schema given to :role`)
  const pool = db.newPool(asRole(db.url, role))
  await prepare(pool, 'given')
  expect(
    await postgresCheckpoints({ pool, schema: 'given' }).open(
      wholeUnit('p'),
      { source: 's', head: undefined },
      never(),
    ),
  ).toEqual({
    position: undefined,
    skipped: {},
    role: 'live',
    decided: { atMs: undefined, answered: undefined },
  })
})

test('a role that owns a schema, and may create no other, makes the tables in it', async () => {
  const role = await db.role('create schema authorization :role')
  await prepare(db.newPool(asRole(db.url, role)), role)
  expect(await versions(role)).toEqual(VERSIONS)
})

const STATEMENTS = /(?<=^ {2}).+;$/gm

test.each([
  ['no right at all', ''],
  ['the schema alone', 'grant usage on schema :schema to :role'],
  [
    'rights to read',
    'grant usage on schema :schema to :role; grant select on all tables in schema :schema to :role',
  ],
  [
    'rights on all tables but one',
    `grant usage on schema :schema to :role; grant select, insert, update on all tables in schema :schema to :role;
     revoke insert on :schema.skips from :role`,
  ],
])('the grants are printed to a role that has %s, and are all that it needs', async (has, grants) => {
  const schema = `granted ${has}`
  await prepare(db.pool, schema)
  const role = await db.role(`select; ${grants.replaceAll(':schema', `"${schema}"`)}`)
  const pool = db.newPool(asRole(db.url, role))
  const error = await prepare(pool, schema).catch((reason: Error) => reason)
  expect(error).toMatchObject({ code: 'TIDEMARK_POSTGRES_CONDITION', condition: 'checkpoint_tables' })
  const printed = String(error).match(STATEMENTS) ?? []
  expect(printed).toHaveLength(2)
  for (const grant of printed) await db.pool.query(grant)
  await prepare(pool, schema)
  const store = postgresCheckpoints({ pool, schema })
  await store.skips?.record('s', [{ stored: '1', current: '3', count: 1n }], never())
  await store.settled?.save('s', { settled: '3', incarnation: 'i', logPosition: undefined }, never())
})

test.each([
  ['a schema', 'missing'],
  ['tables in a schema', 'without_tables'],
])('a role that may not make %s is told the grant that lets it', async (_, schema) => {
  if (schema === 'without_tables') await db.pool.query(`create schema ${schema}`)
  const role = await db.role(schema === 'missing' ? 'select' : `grant usage on schema ${schema} to :role`)
  const pool = db.newPool(asRole(db.url, role))
  const error = await prepare(pool, schema).catch((reason: Error) => reason)
  expect(error).toMatchObject({ condition: 'checkpoint_tables' })
  for (const grant of String(error).match(STATEMENTS) ?? []) await db.pool.query(grant)
  await prepare(pool, schema)
  expect(await versions(schema)).toEqual(VERSIONS)
})

test('a role that does not own tables of an earlier version is told what their owner runs, and that is all that it needs', async () => {
  const schema = 'of_another_owner'
  await ofVersion(2, schema)
  const role = await db.role(
    `grant usage, create on schema ${schema} to :role; grant select, insert, update on all tables in schema ${schema} to :role`,
  )
  const pool = db.newPool(asRole(db.url, role))
  const error = await prepare(pool, schema).catch((reason: Error) => reason)
  expect(error).toMatchObject({ code: 'TIDEMARK_POSTGRES_CONDITION', condition: 'checkpoint_tables' })
  expect(String(error)).toContain('postgresCheckpointsSql({ schema: "of_another_owner", from: 2 })')
  expect(String(error)).not.toContain('GRANT CREATE')
  await db.pool.query(postgresCheckpointsSql({ schema: 'of_another_owner', from: 2 }))
  const printed = String(error).match(STATEMENTS) ?? []
  expect(printed).not.toEqual([])
  for (const grant of printed) await db.pool.query(grant)
  await prepare(pool, schema)
  expect(await versions(schema)).toEqual(VERSIONS)
  await prepare(db.pool, 'made_at_once')
  expect(await shapeOf(schema)).toEqual(await shapeOf('made_at_once'))
})

test.each([
  ['a version that is not there yet', { from: 99 }, 'from: expected a version of the tables'],
  ['half a version', { from: 1.5 }, 'from: expected a version of the tables'],
  ['an option that does not exist', { form: 2 } as object, 'form: expected one of the options schema, from'],
])('no SQL is printed for %s', (_, options, message) => {
  expect(() => postgresCheckpointsSql(options)).toThrow(message)
})

test.each(['checkpoints', 'settled', 'skips', 'dead_letters', 'dead_letter_counts'])(
  'refuses an unlogged table "%s"',
  async (table) => {
    const schema = `unlogged_${table}`
    await prepare(db.pool, schema)
    await db.pool.query(`alter table ${schema}.${table} set unlogged`)
    const error = prepare(db.pool, schema)
    await expect(error).rejects.toMatchObject({ condition: 'checkpoint_tables' })
    await expect(error).rejects.toThrow(`ALTER TABLE "${schema}"."${table}" SET LOGGED`)
    await db.pool.query(`alter table ${schema}.${table} set logged`)
    await prepare(db.pool, schema)
  },
)
