import { slotOf } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'
import { slotSql } from '../../packages/pg-adapter/src/proof/key-slots.ts'
import { fileDatabase } from '../support/event-table.ts'
import { SLOT_VECTORS } from '../support/slot-vectors.ts'

const db = fileDatabase()

test('the server computes the slots that are published', async () => {
  for (const [key, slot] of SLOT_VECTORS) {
    const { rows } = await db.pool.query(`select ${slotSql('$1::text')} as slot`, [key])
    expect([key, rows[0].slot]).toEqual([key, slot])
  }
})

test('the server computes the slots that Node computes, of numbers and uuids as of their texts', async () => {
  const { rows } = await db.pool.query(
    `select k as key, ${slotSql('k')} as slot from (
       select 'key ' || n as k from generate_series(1, 2000) n
       union all select (n::bigint * 123456789)::text from generate_series(-500, 500) n
       union all select gen_random_uuid()::text from generate_series(1, 500) n
       union all select repeat(chr(n), n % 7) from generate_series(1, 5000) n where n not between 55296 and 57343
     ) as keys
     union all select n::text, ${slotSql('n')} from unnest('{-9223372036854775808,-42,0,42}'::bigint[]) n
     union all select n::text, ${slotSql('n')} from unnest('{-32768,-1,1}'::smallint[]) n
     union all select u::text, ${slotSql('u')} from (select gen_random_uuid() from generate_series(1, 50)) as ids (u)`,
  )
  for (const { key, slot } of rows) expect([key, slot]).toEqual([key, slotOf(key)])
})
