import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { startProgram } from '../../support/child-program.ts'
import { eventually, fileDatabase } from '../../support/event-table.ts'
import { never } from '../../support/never.ts'
import { programPath } from '../../support/program.ts'

const db = fileDatabase()
const LETTERS = 150

test('a daemon that is killed in the middle of many retries loses none and repeats none; the next one does the rest', async () => {
  const { schema, run } = await db.events()
  const store = postgresCheckpoints({ pool: db.pool, schema })
  await store.prepare?.(never())
  // Every event was given up.
  await run(`insert into events (type) select 'placed' from generate_series(1, ${LETTERS});
    create table handled (number bigint generated always as identity, position bigint);
    insert into checkpoints (projection, source, position, skipped)
      values ('orders', '${schema}.events', '${LETTERS}', '{"apply_error": "${LETTERS}"}');
    insert into dead_letters (projection, version, source, first_position, last_position, events, event_types, stage, error,
        tries, node)
      select 'orders', 1, '${schema}.events', n, n, 1, '{placed}', 'handle', '{"name":"Error","message":"boom"}', 5, 'host/1'
      from generate_series(1, ${LETTERS}) n;
    insert into dead_letter_counts values ('orders', 1, ${LETTERS})`)
  const handled = async (): Promise<readonly number[]> => {
    const { rows } = await db.pool.query(`select position::int from ${schema}.handled order by number`)
    return rows.map(({ position }) => position)
  }
  const checkpoint = async () =>
    (await store.list({}, never())).map(({ position, skipped }) => ({ position, skipped }))
  const before = await checkpoint()
  const { deadLetters } = createOperations({ checkpoints: store })
  const retrying = deadLetters.retry({ projection: 'orders', who: 'ann', why: 'mended', timeoutMs: 55_000 })
  for (const upTo of [20, 60]) {
    const daemon = startProgram(programPath('retrying-daemon'), { DATABASE_URL: db.url, SCHEMA: schema })
    await eventually(async () => (await handled()).length > upTo).toBe(true)
    daemon.kill('SIGKILL')
    await daemon.exit
  }
  expect((await handled()).length).toBeLessThan(LETTERS)
  expect(await checkpoint()).toEqual(before)
  startProgram(programPath('retrying-daemon'), { DATABASE_URL: db.url, SCHEMA: schema })
  expect((await retrying).retried).toHaveLength(LETTERS)
  expect(await handled()).toEqual(Array.from({ length: LETTERS }, (_, index) => index + 1))
  expect(await checkpoint()).toEqual(before)
  expect(await deadLetters.counts()).toEqual([])
})
