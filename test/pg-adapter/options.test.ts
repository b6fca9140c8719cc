import { type PostgresEventsOptions, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { Client, Pool } from 'pg'
import { expect, test } from 'vitest'

// Never connected.
const pool = new Pool()

test.each<[string, Record<string, unknown>]>([
  ['pool', { pool: undefined }],
  ['pool', { pool: 'postgresql://localhost' }],
  ['table', { table: undefined }],
  ['table', { table: '' }],
  ['table', { table: 'a.b.c' }],
  ['table', { table: 'events.' }],
  ['table', { table: '"events' }],
  ['table', { table: '"a"b' }],
  ['position', { position: '' }],
  ['eventType', { eventType: 7 }],
  ['placeholderTypes', { eventType: 'type', placeholderTypes: 'tombstone' }],
  ['placeholderTypes', { eventType: 'type', placeholderTypes: [''] }],
  ['placeholderTypes', { placeholderTypes: ['tombstone'] }],
  ['sequence', { sequence: 'a.b.c' }],
  ['where', { where: 'tenant' }],
  ['where.tenant', { where: { tenant: null } }],
  ['columns', { columns: 'data' }],
  ['columns', { columns: ['data', ''] }],
  ['mapRow', { mapRow: 'row' }],
  ['name', { name: '' }],
  ['name', { name: 'eve\0nts' }],
  ['appendedAt', { appendedAt: 7 }],
  ['appendedAt.column', { appendedAt: { timeZone: 'UTC' } }],
  ['appendedAt.zone', { appendedAt: { column: 'time', zone: 'UTC' } }],
  ['appendedAt.timeZone', { appendedAt: { column: 'time' } }],
  ['appendedAt.timeZone', { appendedAt: { column: 'time', timeZone: 'Mars/Olympus_Mons' } }],
  ['appendedAt.timeZone', { appendedAt: { column: 'time', timeZone: '+02:00' } }],
  ['appendedat', { appendedat: 'appended_at' }],
  ['numbers', { numbers: 'ahead' }],
  ['highWater.mode', { numbers: 'taken-ahead', highWater: { mode: 'proof' } }],
  ['highWater.threshold', { highWater: { mode: 'stale-threshold', threshold: 50 } }],
  ['highWater.thresholdMs', { highWater: { mode: 'proof', thresholdMs: 50 } }],
  ['highWater.mode', { highWater: { mode: 'guess' } }],
  ['highWater.thresholdMs', { highWater: { mode: 'stale-threshold', thresholdMs: 0 } }],
  ['highWater.thresholdMs', { highWater: { mode: 'stale-threshold', thresholdMs: '3s' } }],
  ['queryTimeoutMs', { queryTimeoutMs: -1 }],
])('the option %s refuses %o, by its name', (option, bad) => {
  const options = { pool, table: 'events', ...bad } as PostgresEventsOptions
  expect(() => postgresEvents(options)).toThrow(
    expect.objectContaining({
      code: 'TIDEMARK_INVALID_OPTION',
      option,
      message: expect.stringContaining(option),
    }),
  )
})

test('a time zone that is left out is asked for as one', () => {
  const appendedAt = { column: 'time' } as NonNullable<PostgresEventsOptions['appendedAt']>
  expect(() => postgresEvents({ pool, table: 'events', appendedAt })).toThrow(
    /the name of a time zone, as 'UTC'/,
  )
})

test.each<[string, Record<string, unknown>]>([
  ['pool', { pool: {} }],
  ['schema', { schema: '' }],
  ['table', { table: 'checkpoints' }],
])('the option %s of checkpoints refuses %o, by its name', (option, bad) => {
  const options = { pool, ...bad } as Parameters<typeof postgresCheckpoints>[0]
  expect(() => postgresCheckpoints(options)).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION', option }),
  )
})

test('a source is named after its table as given, unless it has a name', () => {
  expect(postgresEvents({ pool, table: 'sales."Events"' }).name).toBe('sales."Events"')
  expect(postgresEvents({ pool, table: 'events', name: 'orders' }).name).toBe('orders')
})

test('a single client given as a pool is refused at once, by everything that takes a pool, and told what to make', () => {
  const client = new Client() as unknown as Pool
  const refused = expect.objectContaining({
    code: 'TIDEMARK_INVALID_OPTION',
    option: 'pool',
    message: expect.stringMatching(/a pg\.Pool.*new pg\.Pool\(.*found "a pg\.Client/),
  })
  expect(() => postgresEvents({ pool: client, table: 'events' })).toThrow(refused)
  expect(() => postgresCheckpoints({ pool: client })).toThrow(refused)
})
