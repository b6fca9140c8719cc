import { EventMappingError } from '@tidemark/core/adapter'
import { isTransientPostgresError, NotPrimaryError, PostgresConditionError } from '@tidemark/pg-adapter'
import { Client, Pool } from 'pg'
import { expect, test } from 'vitest'
import { eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

const withCode = (code: string) => Object.assign(new Error('said the server'), { code })

test.each([
  ['08006', 'connection_failure'],
  ['08P01', 'protocol_violation'],
  ['40001', 'serialization_failure'],
  ['40P01', 'deadlock_detected'],
  ['53300', 'too_many_connections'],
  ['53100', 'disk_full'],
  ['25006', 'read_only_sql_transaction'],
  ['55P03', 'lock_not_available'],
  ['57P01', 'admin_shutdown'],
  ['57P02', 'crash_shutdown'],
  ['57P03', 'cannot_connect_now'],
  ['57P04', 'database_dropped'],
  ['57P05', 'idle_session_timeout'],
  ['ECONNRESET', 'socket'],
  ['ECONNREFUSED', 'socket'],
  ['EPIPE', 'socket'],
  ['ETIMEDOUT', 'socket'],
  ['ENOTFOUND', 'name'],
  ['EAI_AGAIN', 'name'],
])('%s (%s) passes', (code) => {
  expect(isTransientPostgresError(withCode(code))).toBe(true)
})

test.each([
  ['23505', 'unique_violation'],
  ['42P01', 'undefined_table'],
  ['42501', 'insufficient_privilege'],
  ['22012', 'division_by_zero'],
  ['28P01', 'invalid_password'],
  ['3D000', 'invalid_catalog_name'],
  ['57014', 'query_canceled'],
  ['25P02', 'in_failed_sql_transaction'],
  ['55000', 'object_not_in_prerequisite_state'],
  ['P0001', 'raise_exception'],
  ['ENOENT', 'file'],
  ['40', 'no SQLSTATE'],
  ['ERR_ASSERTION', 'Node'],
])('%s (%s) does not pass', (code) => {
  expect(isTransientPostgresError(withCode(code))).toBe(false)
})

test('nothing that a handler has thrown passes by its code alone: it may come from a database of its own', () => {
  for (const code of ['40P01', '53100', '57P01', 'ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', '23505'])
    expect(isTransientPostgresError(withCode(code), 'handler')).toBe(false)
  expect(isTransientPostgresError(new Error('Connection terminated unexpectedly'), 'handler')).toBe(false)
})

test('a fault that a pool tells in errors of its own is found in their causes', () => {
  const told = (cause: unknown) => new Error('failed', { cause: new Error('of this pool', { cause }) })
  for (const cause of [withCode('40P01'), withCode('ECONNRESET'), new Error('Query read timeout')]) {
    expect(isTransientPostgresError(told(cause))).toBe(true)
    expect(isTransientPostgresError(told(cause), 'handler')).toBe(false)
  }
  for (const cause of [withCode('42P01'), new Error('a bug'), undefined]) {
    expect(isTransientPostgresError(told(cause))).toBe(false)
  }
})

test('what is the fault of an event does not pass, whatever caused it', () => {
  expect(isTransientPostgresError(new EventMappingError('7', withCode('ECONNREFUSED'), 'opened', 1))).toBe(
    false,
  )
})

test('a standby passes, a violated condition and what is no error do not', () => {
  expect(isTransientPostgresError(new NotPrimaryError('in recovery'))).toBe(true)
  for (const other of [
    new PostgresConditionError('index', 'none'),
    new Error('a bug'),
    'text',
    undefined,
    null,
  ]) {
    expect(isTransientPostgresError(other)).toBe(false)
  }
})

/** What node-postgres itself says, without a code, when it is done to it. */
const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => 'resolved',
    (error: unknown) => error,
  )

test('a statement on a connection that is terminated passes', async () => {
  const client = new Client(db.url)
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query('select pg_backend_pid() as pid')
  const running = rejection(client.query('select pg_sleep(60)'))
  await db.pool.query('select pg_terminate_backend($1)', [rows[0].pid])
  expect(isTransientPostgresError(await running)).toBe(true)
  let next: unknown
  await eventually(async () => {
    next = await rejection(client.query('select 1'))
    return next instanceof Error
  }).toBe(true)
  expect(isTransientPostgresError(next)).toBe(true)
  await client.end()
})

test('a statement on a client that was ended passes', async () => {
  const client = new Client(db.url)
  await client.connect()
  await client.end()
  expect(isTransientPostgresError(await rejection(client.query('select 1')))).toBe(true)
})

test('a pool with no connection left in time passes', async () => {
  const pool = db.newPool({ max: 1, connectionTimeoutMillis: 2_000 })
  const only = await pool.connect()
  expect(isTransientPostgresError(await rejection(pool.connect()))).toBe(true)
  only.release()
})

test('a statement that takes longer than the driver waits passes', async () => {
  const pool = db.newPool({ query_timeout: 20 })
  expect(isTransientPostgresError(await rejection(pool.query('select pg_sleep(60)')))).toBe(true)
  await db.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'`,
  )
})

test('a server that is not there passes', async () => {
  const pool = new Pool({ host: '127.0.0.1', port: 1 })
  expect(isTransientPostgresError(await rejection(pool.connect()))).toBe(true)
  await pool.end()
})
