import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createProgressReader, hasCode } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import express from 'express'
import type { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { spawnDaemon } from './processes.ts'
import { type ChaosStore, chaosStore } from './store.ts'

/** An API as the documentation has it: it appends, waits until its read model has the event, and answers from that. */
async function api(
  pool: Pool,
  timeoutMs: number,
): Promise<(id: string) => Promise<{ status: number; body: unknown }>> {
  const progress = createProgressReader({
    checkpoints: postgresCheckpoints({ pool }),
    source: postgresEvents({ pool, table: 'events' }),
  })
  const app = express()
  app.post('/orders/:id', async (request, response) => {
    const { id } = request.params
    const { rows: appended } = await pool.query(
      "insert into events (id, type) values ($1, 'placed') returning position",
      [id],
    )
    try {
      await progress.waitFor({ projection: 'all', position: appended[0].position, timeoutMs })
    } catch (error) {
      if (!hasCode(error, 'TIDEMARK_WAIT_TIMEOUT')) throw error
      response.status(202).json({ message: error.message })
      return
    }
    const { rows } = await pool.query(
      "select id, position, process from handled where id = $1 and projection = 'all'",
      [id],
    )
    response.status(201).json(rows)
  })
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())))
  const { port } = server.address() as AddressInfo
  return async (id) => {
    const response = await fetch(`http://127.0.0.1:${port}/orders/${id}`, {
      method: 'POST',
      headers: { connection: 'close' },
    })
    return { status: response.status, body: await response.json() }
  }
}

async function rowsOf(store: ChaosStore, sql: string): Promise<unknown[]> {
  return (await store.query(sql)).rows
}

test('an API reads its own writes from a read model that a daemon of another process keeps, also while that is killed', async () => {
  const store = await chaosStore()
  const first = await spawnDaemon({ url: store.url })
  const pool = store.pool({ max: 10 })
  const post = await api(pool, 60_000)
  for (let n = 0; n < 5; n++) {
    expect(await post(`one-${n}`)).toMatchObject({
      status: 201,
      body: [{ id: `one-${n}`, process: first.pid }],
    })
  }
  const many = Array.from({ length: 40 }, (_, n) => post(`many-${n}`))
  await first.kill()
  const second = await spawnDaemon({ url: store.url })
  for (const [n, answer] of (await Promise.all(many)).entries()) {
    expect(answer).toMatchObject({ status: 201, body: [{ id: `many-${n}` }] })
  }
  expect(await post('last')).toMatchObject({ status: 201, body: [{ process: second.pid }] })
  expect(pool.waitingCount).toBe(0)
  expect(pool.idleCount).toBe(pool.totalCount)
})

test('a reader makes no checkpoint: before a daemon has started its projection, a wait ends by its time and says so', async () => {
  const store = await chaosStore()
  // It makes the tables, and runs another projection.
  await spawnDaemon({ url: store.url, projections: 'second' })
  const post = await api(store.pool(), 300)
  expect(await post('early')).toEqual({
    status: 202,
    body: {
      message:
        'projection "all" has not handled position 1 within 300 ms: it has no checkpoint: no daemon has started a projection of that name yet',
    },
  })
  expect(await rowsOf(store, 'select projection from tidemark.checkpoints')).toEqual([
    { projection: 'second' },
  ])
  const daemon = await spawnDaemon({ url: store.url })
  const patient = await api(store.pool(), 60_000)
  expect(await patient('later')).toMatchObject({ status: 201, body: [{ process: daemon.pid }] })
})
