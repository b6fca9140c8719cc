import { createProgressReader } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { type PgClient, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import { checkpointsBeside, type EventTable, eventually, fileDatabase } from '../support/event-table.ts'
import { never } from '../support/never.ts'

const db = fileDatabase()

/** A projection of that name with a checkpoint, and who reads how far it is. */
async function rigOn(events: EventTable, pool: Pool, queryTimeoutMs = 30_000) {
  const owner = checkpointsBeside(events, db.pool)
  await owner.prepare?.(never())
  for (const version of [1, 2]) {
    await owner.open(wholeUnit('orders', version), { source: events.name, head: undefined }, never())
  }
  const checkpoints = postgresCheckpoints({ pool, schema: events.schema, queryTimeoutMs })
  const source = postgresEvents<PgClient>({ pool, table: events.name })
  const move = (version: number, position: string) =>
    events.run(`update ${events.schema}.checkpoints set position = '${position}' where version = ${version}`)
  return { owner, checkpoints, move, reader: createProgressReader({ checkpoints, source }) }
}

test('a wait follows whichever version is live, or the one that is named', async () => {
  const events = await db.events()
  const { owner, checkpoints, move, reader } = await rigOn(events, db.pool)
  await move(1, '5')
  await move(2, '3')
  const agree = async () => {
    const units = (await owner.control?.units({ projection: 'orders' }, never())) ?? []
    for (const version of [1, 2, undefined]) {
      const found = units.find(({ unit, role }) =>
        version === undefined ? role === 'live' : unit.version === version,
      )
      expect(await checkpoints.progressOf?.('orders', version, never())).toEqual(
        found ? [{ unit: found.unit, source: found.source, position: found.position, role: found.role }] : [],
      )
    }
    expect(await checkpoints.progressOf?.('orders', 3, never())).toEqual([])
    expect(await checkpoints.progressOf?.("o'rders", undefined, never())).toEqual([])
  }
  await agree()
  await reader.waitFor({ projection: 'orders', position: 5n })
  await reader.waitFor({ projection: 'orders', position: 3n, version: 2 })
  const next = reader.waitFor({ projection: 'orders', position: 6n })
  await events.run(
    `update ${events.schema}.checkpoints set role = 'retired' where version = 1;
     update ${events.schema}.checkpoints set role = 'live' where version = 2`,
  )
  await agree()
  expect(await reader.position('orders')).toBe(3n)
  await move(2, '6')
  await next
  await expect(reader.waitFor({ projection: 'orders', position: 7n, version: 1 })).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_FAILED',
  })
})

test.each(['begin isolation level repeatable read', 'begin', 'begin; select 1 / 0'])(
  'a connection on which somebody has left a transaction open (%s) keeps no wait from what is handled meanwhile',
  async (begun) => {
    const events = await db.events()
    const pool = db.newPool({ max: 1 })
    const { move, reader, checkpoints } = await rigOn(events, pool)
    await move(1, '1')
    const leave = async () => {
      const client = await pool.connect()
      await client.query(begun).catch(() => {})
      await client.query(`select from ${events.schema}.checkpoints`).catch(() => {})
      client.release()
    }
    await leave()
    await move(1, '2')
    const error: unknown = await checkpoints.progressOf?.('orders', 1, never()).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'TIDEMARK_TRANSACTION_LEFT_OPEN' })
    await leave()
    await reader.waitFor({ projection: 'orders', position: 2n })
  },
)

test('a look that waits for a lock is ended by the server, and the next one is told', async () => {
  const events = await db.events()
  const { move, checkpoints, reader } = await rigOn(events, db.newPool({ max: 1 }), 200)
  await move(1, '1')
  const holder = await db.pool.connect()
  await holder.query(`begin; lock table ${events.schema}.checkpoints`)
  await expect(checkpoints.progressOf?.('orders', 1, never())).rejects.toMatchObject({
    code: 'TIDEMARK_QUERY_TIMEOUT',
    cause: { code: '57014' },
  })
  const waiting = reader.waitFor({ projection: 'orders', position: 1n })
  await eventually(async () => {
    const { rowCount } = await db.pool.query(
      `select from pg_locks where not granted and relation = '${events.schema}.checkpoints'::regclass`,
    )
    return rowCount
  }).toBe(1)
  await holder.query('rollback')
  holder.release()
  await waiting
})
