import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { explain } from '../../packages/cli/src/explain-error.ts'
import { jsonOf, plain } from '../../packages/cli/src/lines.ts'
import { withOwnWords } from '../../packages/cli/src/own-words.ts'
import { parseDuration } from '../../packages/cli/src/parse-values.ts'
import { resolvePlace } from '../../packages/cli/src/place.ts'
import { formatProgress, Rate } from '../../packages/cli/src/progress.ts'
import { table } from '../../packages/cli/src/table.ts'
import { eventsOf } from '../../packages/console/src/status/events-of.ts'
import { argument, duration } from '../../packages/console/src/status/words.ts'

/** What steers a terminal. */
const STEERS = /[\p{Cc}\p{Bidi_Control}]/u

const characters = (min: number, max: number) =>
  fc.integer({ min, max }).map((code) => String.fromCodePoint(code))
/** Any, but those that might steer more often. fast-check's own take a second to be set up. */
const character = fc.oneof(characters(0, 0xff), characters(0x2000, 0x20ff), characters(0, 0x10ffff))

test('no text, whatever it is, steers a terminal or breaks a line, and what is harmless stays', () => {
  fc.assert(
    fc.property(fc.string({ unit: character }), (text) => {
      expect(plain(text)).not.toMatch(STEERS)
      expect(plain(plain(text))).toBe(plain(text))
    }),
  )
  expect(plain('Ünïcode 名前 "quoted" \\x1b')).toBe('Ünïcode 名前 "quoted" \\x1b')
})

test('JSON says the same value, in characters that steer nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const json = jsonOf({ text: `\u202e\u001b${text}`, of: 7n })
      expect(json).not.toMatch(STEERS)
      expect(JSON.parse(json)).toEqual({ text: `\u202e\u001b${text}`, of: '7' })
    }),
  )
})

test('times are said as people say them', () => {
  expect([0, 350, 59_400, 119_000, 300_000, 7_300_000, 400_000_000].map(duration)).toEqual([
    '0 ms',
    '350 ms',
    '59 s',
    '119 s',
    '5 min',
    '2 h',
    '5 d',
  ])
})

test('times are read as they are written', () => {
  expect(['500ms', '30s', '5m', '5min', '2h', '7', '1.5s'].map(parseDuration)).toEqual([
    500, 30_000, 300_000, 300_000, 7_200_000, 7_000, 1_500,
  ])
  for (const wrong of ['', 's', '-1s', '0', '5 weeks', '100h 1m', '999h']) {
    expect(() => parseDuration(wrong), wrong).toThrow()
  }
})

test('an argument is one word of a shell', () => {
  expect(['orders', "it's", 'a b', '$(rm)'].map(argument)).toEqual([
    'orders',
    `'it'\\''s'`,
    "'a b'",
    "'$(rm)'",
  ])
})

test('a table has columns where they fit, and blocks where they do not', () => {
  const rows = [{ cells: ['orders', '4711', 'stands'] }, { cells: ['a', '1', 'follows'] }]
  const text = (columns: number | undefined) =>
    table(['projection', 'position', 'state'], rows, columns).map((line) =>
      typeof line === 'string' ? line : line.text,
    )
  expect(text(undefined)).toEqual([
    'projection  position  state',
    'orders      4711      stands',
    'a           1         follows',
  ])
  expect(text(20)).toEqual([
    'orders',
    '  position    4711',
    '  state       stands',
    '',
    'a',
    '  position    1',
    '  state       follows',
  ])
})

test('progress has a rate, and the time that is left', () => {
  const rate = new Rate()
  expect(rate.perSecond).toBeUndefined()
  for (const [atMs, done] of [
    [0, 0],
    [1_000, 400],
    [2_000, 800],
  ] as const) {
    rate.add({ atMs, done })
  }
  expect(formatProgress({ done: 800, of: 4_800, what: 'positions' }, rate.perSecond)).toBe(
    '800 of 4,800 positions, 16 %, 400 per second, 10 s left',
  )
  expect(formatProgress({ done: 3, of: undefined, what: 'rows' }, undefined)).toBe('3 rows')
})

describe('which database', () => {
  const url = 'postgres://ann:secret@db.local:5433/shop'
  test('options come before the environment, and that before the file', () => {
    const config = { databaseUrl: 'postgres://file/x' }
    const called = (flags: object, env: Record<string, string>) => resolvePlace(flags, env, config).called
    expect(called({ databaseUrl: url }, { DATABASE_URL: 'postgres://env/x' })).toBe(
      'db.local:5433/shop as ann',
    )
    expect(called({}, { DATABASE_URL: 'postgres://env/x' })).toBe('env/x')
    expect(called({}, {})).toBe('file/x')
    expect(resolvePlace({}, { PGHOST: 'h', PGDATABASE: 'd', PGUSER: 'u', PGPORT: '7' }).called).toBe(
      'h:7/d as u',
    )
  })

  test('is told without its password', () => {
    const place = resolvePlace({ databaseUrl: url }, {})
    const error = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    expect(JSON.stringify(explain(error, { ...place, isChange: false }))).not.toContain('secret')
    expect(() => resolvePlace({ databaseUrl: 'ann:secret@db' }, {})).toThrow(/^(?!.*secret)/)
  })
})

describe('which table', () => {
  const events = { table: 'sales.events', where: { tenant: 'acme' } }
  test.each([
    ['the one that was named, by the name that it has', events, 'sales.events[tenant=acme]', 'sales.events'],
    ['the one that was named, where there is no other', events, 'other', 'sales.events'],
    ['the one that the checkpoints are named after', undefined, 'events', 'events'],
    ['none, where a name says more than a table', undefined, 'events[tenant=acme]', undefined],
  ])('is %s', (_, named, source, expected) => {
    expect(eventsOf(named, source, [source])?.table).toBe(expected)
  })

  test('is not the one that was named, where that is one of several others', () => {
    expect(eventsOf(events, 'stock', ['stock', 'orders'])?.table).toBe('stock')
  })
})

test("what the library calls its options and functions stands beside this program's own words", () => {
  expect(withOwnWords('Name it in the option table, or see auditCommits.')).toBe(
    'Name it in the option table (here: --table), or see auditCommits (here: tidemark audit-commits).',
  )
  expect(withOwnWords('run what postgresCheckpointsSql({ schema: "tidemark" }) prints')).toBe(
    'run what postgresCheckpointsSql({ schema: "tidemark" }) (here: tidemark migrations print) prints',
  )
  expect(withOwnWords('the table, its position and tables')).toBe('the table, its position and tables')
})

test.each([
  [{ code: 'ECONNREFUSED' }, 3],
  [{ code: '28P01' }, 3],
  [{ code: 'TIDEMARK_QUERY_TIMEOUT' }, 3],
  [{ code: '42501' }, 4],
  [{ code: 'TIDEMARK_POSTGRES_CONDITION', condition: 'checkpoint_tables' }, 4],
  [{ code: 'TIDEMARK_OPERATION_REFUSED' }, 5],
  [{ code: 'TIDEMARK_OPERATION_PENDING' }, 1],
  [{ code: 'TIDEMARK_WAIT_TIMEOUT' }, 1],
  [{ code: 'TIDEMARK_INVALID_OPTION' }, 2],
  [{}, 70],
])('an error %o ends with %i, and says what to try', (fields, exit) => {
  const { next, ...told } = explain(Object.assign(new Error('what happened'), fields), {
    called: 'db',
    schema: 'tidemark',
    isChange: true,
  })
  expect(told).toMatchObject({ exit, message: expect.stringContaining('what happened') })
  expect(next.length).toBeGreaterThan(0)
})
