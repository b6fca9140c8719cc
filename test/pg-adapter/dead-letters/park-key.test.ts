import type { Daemon, OnFailure, Projection } from '@tidemark/core'
import { createOperations } from '@tidemark/core/operations'
import { type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { PoolClient } from 'pg'
import { expect, test } from 'vitest'
import { eventually, fileDatabase, startDaemon } from '../../support/event-table.ts'

const db = fileDatabase()
const EVENTS = 10_000
const POISON = 5_000
/** So many keys: the poisonous one is that of 1,000, 2,000 and so on. */
const KEYS = 1_000
const BY = { who: 'ann', why: 'mended' }
type Orders = Projection<PostgresRow, PoolClient>

/** Each key has every thousandth event; `behind` of them stand behind the poisonous one. */
async function given(behind: number, more: Partial<Orders> = {}) {
  const events = await db.events()
  await events.run(`insert into events (type, data)
      select 'placed', case when n = ${POISON} or n > ${POISON} and n <= ${POISON + behind} then 'poisonous' else 'k' || n % ${KEYS} end
      from generate_series(1, ${EVENTS}) n;
    create table handled (number bigint generated always as identity, position bigint, key text)`)
  const poison = new Set([POISON])
  const projection: Orders = {
    name: 'orders',
    attempts: 1,
    onFailure: 'park_key',
    keyOf: ({ data }) => String(data),
    handle: async (batch, { tx }) => {
      await tx.query(
        `insert into ${events.schema}.handled (position, key) select * from unnest($1::bigint[], $2::text[])`,
        [batch.map(({ position }) => String(position)), batch.map(({ data }) => String(data))],
      )
      for (const { position } of batch) if (poison.has(Number(position))) throw new Error('boom')
    },
    ...more,
  }
  const checkpoints = postgresCheckpoints<PoolClient>({ pool: db.pool, schema: events.schema })
  const source = postgresEvents({ pool: db.pool, table: events.name, eventType: 'type' })
  const start = (): Promise<Daemon<bigint>> => startDaemon({ source, checkpoints, projections: [projection] })
  const handled = async (where = 'true'): Promise<readonly number[]> => {
    const { rows } = await db.pool.query(
      `select position::int from ${events.schema}.handled where ${where} order by number`,
    )
    return rows.map(({ position }) => position)
  }
  const append = async (key: string): Promise<number> => {
    const { rows } = await db.pool.query(
      `insert into ${events.name} (type, data) values ('placed', $1) returning position::int`,
      [key],
    )
    return rows[0].position
  }
  return {
    poison,
    start,
    handled,
    append,
    schema: events.schema,
    operations: createOperations({ checkpoints }),
  }
}

const upTo = (last: number, but: readonly number[]): readonly number[] =>
  Array.from({ length: last }, (_, index) => index + 1).filter((position) => !but.includes(position))

test.each([1, 7])(
  'a poison event in the middle of 10,000 parks its key with the %i behind it; all else goes on, and a retry brings them in order',
  async (behind) => {
    const { poison, start, handled, operations } = await given(behind)
    const parked = Array.from({ length: behind + 1 }, (_, index) => POISON + index)
    const daemon = await start()
    await daemon.waitUntilProjected()
    expect(await handled()).toEqual(upTo(EVENTS, parked))
    expect(daemon.status().projections[0]).toMatchObject({
      position: BigInt(EVENTS),
      state: 'live',
      handledEvents: EVENTS - behind - 1,
      skipped: { apply_error: BigInt(behind + 1) },
    })
    const { deadLetters } = operations
    expect(await deadLetters.list({ state: 'open' })).toMatchObject(
      parked.map((position, n) => ({
        firstPosition: String(position),
        key: 'poisonous',
        stage: n === 0 ? 'handle' : 'parked',
        tries: n === 0 ? 1 : 0,
      })),
    )
    const [ids, first] = [(await deadLetters.list()).map(({ id }) => id), POISON]
    expect((await deadLetters.retry({ projection: 'orders', ...BY })).failed, 'not mended yet').toEqual([
      ids[0],
    ])
    expect(await handled(`position >= ${first} and key = 'poisonous'`), 'none passes the first').toEqual([])
    await daemon.stop()
    // A mended handler is deployed.
    poison.clear()
    await start()
    expect((await deadLetters.retry({ projection: 'orders', ...BY })).retried).toEqual(ids)
    expect(await handled(`key = 'poisonous'`)).toEqual(parked)
    expect([...(await handled())].sort((a, b) => a - b)).toEqual(upTo(EVENTS, []))
    expect(await deadLetters.counts()).toEqual([])
  },
)

test('another owner parks what comes of a key that is parked, also after a restart; events of other keys go on', async () => {
  const { poison, start, handled, append, operations } = await given(1)
  const [first, second] = [await start(), await start()]
  await first.waitUntilProjected()
  await first.stop()
  const behind = await append('poisonous')
  const other = await append('other')
  await second.waitUntilProjected()
  await second.stop()
  const third = await start()
  const last = await append('poisonous')
  await third.waitUntilProjected()
  expect(await handled(`position > ${EVENTS}`)).toEqual([other])
  poison.clear()
  const { deadLetters } = operations
  const [front] = await deadLetters.list({ state: 'open', limit: 1 })
  await deadLetters.retry({ ids: [front?.id ?? ''], ...BY })
  await eventually(() => handled(`key = 'poisonous'`)).toEqual([POISON, POISON + 1, behind, last])
  const live = await append('poisonous')
  await third.waitUntilProjected()
  expect(await handled(`position = ${live}`), 'its key is parked no more').toEqual([live])
})

test.each([
  ['a batch', { trying: 'batch', left: 32, limit: 32 }, []],
  ['that event', { trying: 'position', left: 1, limit: 1 }, ['deadly', 'deadly']],
] as const)(
  'where a process has ended at %s, what follows a letter of its key is parked as ever, and so is what follows that event',
  async (_, tried, deadly) => {
    const { start, handled, append, operations, schema } = await given(1)
    const before = await start()
    await before.waitUntilProjected()
    await before.stop()
    const appended: { readonly at: number; readonly key: string }[] = []
    for (const key of ['deadly', 'poisonous', 'deadly', 'other'])
      appended.push({ at: await append(key), key })
    const through = String(appended.at(-1)?.at)
    const suspicion = { from: String(EVENTS), through, tries: 0, ...tried }
    await db.pool.query(
      `update ${schema}.checkpoints set session = 'killed', begun_at = now() - interval '1 minute', suspicion = $1`,
      [JSON.stringify(suspicion)],
    )
    const daemon = await start()
    await daemon.waitUntilProjected()
    const parked: readonly string[] = ['poisonous', ...deadly]
    expect(await handled(`position > ${EVENTS}`)).toEqual(
      appended.filter(({ key }) => !parked.includes(key)).map(({ at }) => at),
    )
    const letters = await operations.deadLetters.list({ state: 'open' })
    expect(letters.map(({ firstPosition, key }) => ({ at: Number(firstPosition), key })).slice(2)).toEqual(
      appended.filter(({ key }) => parked.includes(key)),
    )
    expect(letters.filter(({ key }) => key === 'deadly').map(({ stage }) => stage)).toEqual(
      deadly.length === 0 ? [] : ['handle', 'parked'],
    )
  },
)

test.each(['resolve', 'discard'] as const)(
  'what is parked follows by itself, in order, when the letter before it is closed: %s',
  async (close) => {
    const { start, handled, append, operations } = await given(7)
    const daemon = await start()
    await daemon.waitUntilProjected()
    const { deadLetters } = operations
    const [front] = await deadLetters.list({ state: 'open', limit: 1 })
    const closing = deadLetters[close]({ ids: [front?.id ?? ''], ...BY })
    // While it is closed events of the key go on coming.
    const more: number[] = []
    for (let n = 0; n < 20; n++) more.push(await append('poisonous'))
    await closing
    const expected = [...Array.from({ length: 7 }, (_, index) => POISON + 1 + index), ...more]
    await eventually(() => handled(`key = 'poisonous'`)).toEqual(expected)
    expect(await deadLetters.counts()).toEqual([])
  },
)

test.each<[string, Partial<Orders>, string]>([
  [
    'keyOf throws',
    {
      keyOf: () => {
        throw new Error('no id')
      },
    },
    'no id',
  ],
  ['keyOf returns no text', { keyOf: () => 5 as unknown as string }, 'found number'],
  ['a function answers it without keyOf', { onFailure: () => 'park_key', keyOf: undefined as never }, 'boom'],
])('where %s nothing is parked: it pauses', async (_, more, message) => {
  const { start, operations } = await given(1, { batchSize: 100, ...more })
  const daemon = await start()
  await eventually(() => daemon.status().projections[0]?.state).toBe('paused')
  expect(String(daemon.status().projections[0]?.error)).toContain(message)
  expect(await operations.deadLetters.list()).toEqual([])
})

test.each<[string, Partial<Orders>, string]>([
  [
    'park_key without keyOf',
    { onFailure: 'park_key' as OnFailure<PostgresRow>, keyOf: undefined as never },
    'keyOf',
  ],
  ['a keyOf that is none', { keyOf: 'id' as never }, 'keyOf'],
])('%s is refused', async (_, more, option) => {
  const { start } = await given(1, more)
  await expect(start()).rejects.toMatchObject({ option: `projections[0].${option}` })
})
