import { type DiagnoseOptions, diagnose, emmett, eventuous, transactionPairs } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

const found = async (options: Partial<DiagnoseOptions>) => {
  const { findings, stores } = await diagnose({ pool: db.pool, sampleMs: 50, timeoutMs: 20_000, ...options })
  return {
    findings,
    stores,
    problems: findings.filter(({ severity }) => severity === 'problem').map(({ code }) => code),
  }
}

test('looks at the tables of a preset, whatever else is there', async () => {
  await db.pool.query(`create schema shop; create schema odd;
    create table shop.es_event (id bigserial primary key, transaction_id xid8 not null, aggregate_id uuid, event_type text);
    create table odd.messages (global_position bigint primary key generated always as identity (increment 50), stream_position int,
      message_type text, json_data jsonb, created timestamp)`)
  const healthy = await found({ preset: transactionPairs({ schema: 'shop' }) })
  expect(healthy.problems).toEqual([])
  expect(healthy.findings).toContainEqual(
    expect.objectContaining({ code: 'sequence_found', severity: 'ok', found: 'shop.es_event_id_seq' }),
  )
  expect(healthy.stores.map(({ store, preset }) => [store, preset])).toEqual(
    expect.arrayContaining([
      ['transaction-pairs', 'transactionPairs()'],
      ['eventuous', 'eventuous()'],
    ]),
  )
  // It is proposed to whoever has not named one.
  const proposed = ({ findings }: typeof healthy) =>
    findings.flatMap(({ code, toDo }) => (code === 'store' ? [toDo] : []))
  expect(proposed(healthy)).toEqual([undefined, undefined])
  expect(proposed(await found({}))).toContainEqual(expect.stringContaining('preset: transactionPairs()'))
  // Without the ids of subscriptions: they are not asked for.
  expect((await found({ preset: eventuous({ schema: 'odd' }) })).problems).toEqual(['sequence_increment'])
  expect((await found({ preset: emmett() })).problems).toEqual(['table_exists'])
})

test('a preset and a table exclude each other', async () => {
  await expect(found({ table: 'events', preset: emmett() })).rejects.toThrow(/preset.*no table beside it/)
  await expect(found({ preset: 'emmett' as never })).rejects.toThrow(/preset/)
})
