import { readFile } from 'node:fs/promises'
import { type NewDeadLetter, wholeUnit } from '@tidemark/core/adapter'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import type { Pool, PoolClient } from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { asRole, fileDatabase } from '../../support/event-table.ts'
import { never } from '../../support/never.ts'

const db = fileDatabase()

const LETTERS = 1_000_000
/** Ten letters each of two projections, and the way to them through an index. */
const MOST_BLOCKS = 40

const unit = wholeUnit('orders')
const LETTER: NewDeadLetter = {
  source: 'events',
  firstPosition: '7',
  lastPosition: '7',
  events: 1,
  eventTypes: ['OrderPlaced'],
  stage: 'handle',
  error: { name: 'Error', message: 'boom' },
  tries: 5,
  key: undefined,
  node: 'host/1',
}

let schemas = 0
async function prepared(pool: Pool = db.pool, schema = `letters_${++schemas}`) {
  const store = postgresCheckpoints<PoolClient>({ pool, schema })
  await store.prepare?.(never())
  await store.open(unit, { source: 'events', head: undefined }, never())
  const { deadLetters } = store
  if (deadLetters === undefined) throw new Error('checkpoints in Postgres keep dead letters')
  const move = (from: string | undefined, to: string) => ({
    unit,
    source: 'events',
    from,
    to,
    evidence: { incarnation: 'i', settled: '9', logPosition: undefined },
    passed: [{ reason: 'apply_error' as const, stored: to, current: to, count: 1n }],
    signal: never(),
  })
  const bury = (from: string | undefined, to: string, letter = LETTER) =>
    store.advance(move(from, to), (tx) => deadLetters.bury(tx, unit, letter))
  return { schema, store, deadLetters, move, bury }
}

type Letters = Awaited<ReturnType<typeof prepared>>['deadLetters']
/** Ten open ones of a projection. */
const OPEN = { filter: { projection: 'mails' }, page: { limit: 10 } }

const countOf = async (schema: string, table: string): Promise<number> =>
  Number((await db.pool.query(`select count(*) from ${schema}.${table}`)).rows[0].count)

describe('a letter that cannot be written leaves the checkpoint where it is', () => {
  test.each([
    ['its table is dropped', (schema: string) => `drop table ${schema}.dead_letters`, '42P01'],
    [
      'the table of counts is dropped',
      (schema: string) => `drop table ${schema}.dead_letter_counts`,
      '42P01',
    ],
    ['a trigger refuses it', refusing, 'P0001'],
  ])('%s', async (_, harm, code) => {
    const { schema, store, bury } = await prepared()
    await db.pool.query(harm(schema))
    await expect(bury(undefined, '7')).rejects.toMatchObject({ code })
    expect(await store.read(unit, never())).toMatchObject({ position: undefined, skipped: {} })
  })

  test('its role may not write it', async () => {
    const { schema } = await prepared()
    const role = await db.role(`grant usage on schema ${schema} to :role;
      grant select, insert, update on all tables in schema ${schema} to :role`)
    const { store, bury } = await prepared(db.newPool(asRole(db.url, role)), schema)
    await bury(undefined, '6')
    await db.pool.query(`revoke insert on ${schema}.dead_letters from ${role}`)
    await expect(bury('6', '7')).rejects.toMatchObject({ code: '42501' })
    expect(await store.read(unit, never())).toMatchObject({ position: '6', skipped: { apply_error: 1n } })
    expect(await countOf(schema, 'dead_letters')).toBe(1)
  })
})

function refusing(schema: string): string {
  return `create function ${schema}.refuse() returns trigger language plpgsql as $$
    begin raise exception 'no more letters'; end $$;
    create trigger refuse before insert on ${schema}.dead_letters for each row execute function ${schema}.refuse()`
}

test.each([
  ['after the lock', 'lock'],
  ['after the letter', 'letter'],
  ['while the letter is written', 'writing'],
] as const)(
  'a connection that is ended %s leaves neither letter nor checkpoint; the next try has both',
  async (_, when) => {
    const { schema, store, deadLetters, move, bury } = await prepared()
    const end = async (tx: PoolClient): Promise<void> => {
      const { rows } = await tx.query('select pg_backend_pid() as pid')
      await db.pool.query('select pg_terminate_backend($1, 10000)', [rows[0].pid])
    }
    const advancing = store.advance(move(undefined, '7'), async (tx) => {
      if (when === 'lock') await end(tx)
      if (when === 'writing') {
        const { rows } = await tx.query('select pg_backend_pid() as pid')
        const blocker = await db.session()
        await blocker.query(`begin; lock table ${schema}.dead_letters in access exclusive mode`)
        const buried = deadLetters.bury(tx, unit, LETTER)
        buried.catch(() => {})
        await untilBlocked(rows[0].pid)
        await blocker.query('select pg_terminate_backend($1, 10000)', [rows[0].pid])
        await blocker.query('rollback')
        await buried
      } else await deadLetters.bury(tx, unit, LETTER)
      if (when === 'letter') await end(tx)
    })
    await expect(advancing).rejects.toSatisfy((error) => store.isTransient(error))
    expect(await store.read(unit, never())).toMatchObject({ position: undefined, skipped: {} })
    expect(await countOf(schema, 'dead_letters')).toBe(0)
    expect(await deadLetters.counts(never())).toEqual([])
    await bury(undefined, '7')
    expect(await store.read(unit, never())).toMatchObject({ position: '7', skipped: { apply_error: 1n } })
    expect(await deadLetters.counts(never())).toMatchObject([{ projection: 'orders', version: 1, open: 1 }])
  },
)

async function untilBlocked(pid: number): Promise<void> {
  for (;;) {
    const { rows } = await db.pool.query('select cardinality(pg_blocking_pids($1)) > 0 as blocked', [pid])
    if (rows[0].blocked) return
  }
}

test('texts that Postgres takes for something else are kept: NUL, halves of characters, backslashes', async () => {
  const { deadLetters, bury } = await prepared()
  const error = { name: 'E\\', message: `cut \ud83c and \u0000 it's`, stack: "E'\\n" }
  await bury(undefined, '7', { ...LETTER, error })
  expect((await deadLetters.list({}, { limit: 1 }, never()))[0]?.error).toEqual(error)
})

test('what the runbook runs to close letters closes them, and counts them out', async () => {
  const { schema, deadLetters, bury } = await prepared()
  for (const at of [1, 2, 3]) await bury(at === 1 ? undefined : `${at - 1}`, `${at}`)
  const runbook = await readFile(new URL('../../../docs/runbook.md', import.meta.url), 'utf8')
  const statement = /with closed as \([\s\S]*?;/.exec(runbook)?.[0] ?? ''
  const ids = (await deadLetters.list({}, { limit: 9 }, never())).map(({ id }) => id)
  const close = statement.replaceAll('tidemark.', `${schema}.`).replace('17, 18', `${ids[0]}, ${ids[2]}`)
  for (let times = 0; times < 2; times++) await db.pool.query(close)
  expect(await deadLetters.counts(never())).toMatchObject([{ open: 1 }])
  expect(await deadLetters.list({}, { limit: 9 }, never())).toMatchObject([
    { closed: { as: 'resolved', who: 'ada', why: 'mailed by hand' } },
    { closed: undefined },
    { closed: { as: 'resolved' } },
  ])
})

describe('with a million letters', () => {
  let letters: Awaited<ReturnType<typeof prepared>>
  beforeAll(async () => {
    letters = await prepared()
    const { schema } = letters
    // Of those of the first projection all but the last ten are closed.
    await db.pool.query(`insert into ${schema}.dead_letters
        (projection, version, source, first_position, last_position, events, event_types, stage, error, tries, node,
          closed_as)
      select case when n % 2 = 0 then 'orders' else 'mails' end, 1, 'events', n, n, 1, '{OrderPlaced}', 'handle',
        '{"name":"Error","message":"boom"}', 5, 'host/1',
        case when n % 2 = 0 and n <= ${LETTERS - 20} then 'resolved' end
      from generate_series(1, ${LETTERS}) n;
      insert into ${schema}.dead_letters
        (projection, version, source, first_position, last_position, events, event_types, stage, error, tries, node, key)
      select 'parking', 1, 'events', n, n, 1, '{OrderPlaced}', 'parked', '{"name":"Parked","message":""}', 0, 'host/1',
        'k' || n % 10000
      from generate_series(1, 50000) n;
      insert into ${schema}.dead_letter_counts values ('orders', 1, 10), ('mails', 1, ${LETTERS / 2})`)
    await db.pool.query(`vacuum analyze ${schema}.dead_letters`)
  }, 120_000)

  /** What the last statement about letters reads, and whether it looks through the table. */
  async function planOf(ask: (pool: Pool) => Promise<unknown>): Promise<{ blocks: number; scans: string[] }> {
    const sent: string[] = []
    const pool = Object.assign(Object.create(db.pool), {
      connect: async () => {
        const client = await db.pool.connect()
        return Object.assign(Object.create(client), {
          query: (text: string, values?: unknown[]) => {
            sent.push(text)
            return client.query(text, values)
          },
          release: (destroy?: boolean) => client.release(destroy),
        })
      },
    })
    await ask(pool)
    const statement = sent
      .flatMap((message) => message.split(';'))
      .findLast((sql) => sql.includes('dead_letter'))
    const { rows } = await db.pool.query(`explain (analyze, buffers, format json) ${statement}`)
    const plan = rows[0]['QUERY PLAN'][0].Plan
    return { blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], scans: scansOf(plan) }
  }

  type Plan = { 'Node Type': string; 'Relation Name'?: string; Plans?: Plan[] }
  const scansOf = (plan: Plan): string[] => [
    ...(plan['Relation Name'] === 'dead_letters' ? [plan['Node Type']] : []),
    ...(plan.Plans ?? []).flatMap(scansOf),
  ]

  test.each([
    ['the next one to retry', (of: Letters) => of.nextRetry(unit, never())],
    ['what has become of some', (of: Letters) => of.retryStates(['2', '3', '999998'], never())],
    ['asking for a page of them', (of: Letters) => of.askRetry(OPEN, { who: 'ann', why: 'mended' }, never())],
    [
      'asking for some',
      (of: Letters) => of.askRetry({ ids: ['999998'] }, { who: 'ann', why: 'mended' }, never()),
    ],
  ])('%s reads a few blocks', async (_, ask) => {
    const { schema } = letters
    const { blocks, scans } = await planOf(async (pool) => {
      const { deadLetters } = postgresCheckpoints({ pool, schema })
      if (deadLetters) await ask(deadLetters)
    })
    expect(scans).not.toContain('Seq Scan')
    expect(blocks).toBeLessThan(10 * MOST_BLOCKS)
  })

  test('which of a thousand keys are parked, of 10,000 that are, reads a few blocks for each', async () => {
    const { schema } = letters
    const parking = wholeUnit('parking')
    const keys = Array.from({ length: 1_000 }, (_, n) => (n < 100 ? `k${n}` : `other ${n}`))
    let found = 0
    const { blocks, scans } = await planOf(async (pool) => {
      const store = postgresCheckpoints<PoolClient>({ pool, schema })
      await store.open(parking, { source: 'events', head: undefined }, never())
      await store.advance({ ...letters.move(undefined, '1'), unit: parking }, async (tx) => {
        found = (await store.deadLetters?.parkedKeys(tx, parking, keys))?.keys.size ?? 0
      })
    })
    expect(found).toBe(100)
    expect(new Set(scans)).toEqual(new Set(['Index Only Scan']))
    expect(blocks).toBeLessThan(6 * keys.length)
  })

  test('the look for what operators want reads a few blocks of them', async () => {
    const { schema } = letters
    const { blocks, scans } = await planOf(async (pool) =>
      postgresCheckpoints({ pool, schema }).control?.units({ source: 'events' }, never()),
    )
    expect(scans).not.toContain('Seq Scan')
    expect(blocks).toBeLessThan(MOST_BLOCKS)
  })

  test('counting the open ones, and telling the oldest, reads a few blocks', async () => {
    const { schema } = letters
    let counts: unknown
    const { blocks, scans } = await planOf(async (pool) => {
      counts = await postgresCheckpoints({ pool, schema }).deadLetters?.counts(never())
    })
    expect(counts).toHaveLength(2)
    expect(scans).toEqual(['Index Scan'])
    expect(blocks).toBeLessThan(MOST_BLOCKS)
  })

  test.each([
    ['the open ones', { state: 'open' }],
    ['the open ones of a projection', { projection: 'orders', state: 'open' }],
    ['those of a projection', { projection: 'orders' }],
    ['all', {}],
  ] as const)('a page of %s reads a few blocks', async (_, filter) => {
    const { schema } = letters
    const { blocks, scans } = await planOf(async (pool) =>
      postgresCheckpoints({ pool, schema }).deadLetters?.list(filter, { limit: 10 }, never()),
    )
    expect(scans).toEqual(['Index Scan'])
    expect(blocks).toBeLessThan(MOST_BLOCKS)
  })
})
