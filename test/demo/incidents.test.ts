import { createOperations } from '@tidemark/core/operations'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { DemoProcess } from './demo-process.ts'

/** Starts it, waits until the person on call is told, and connects to its database. */
async function begin(
  number: string,
  onTestFinished: (clean: () => Promise<void>) => void,
): Promise<{ readonly process: DemoProcess; readonly pool: pg.Pool }> {
  const process = await DemoProcess.startIncident(number)
  onTestFinished(() => process.dispose())
  await says(process, 'Ctrl-C ends it')
  const [, connectionString] = /database +(postgresql:\S+)/.exec(process.stdout) ?? []
  return { process, pool: new pg.Pool({ connectionString }) }
}

async function says(process: DemoProcess, text: string): Promise<void> {
  await vi.waitFor(() => expect(process.stdout + process.stderr).toContain(text), { timeout: 60_000 })
}

/** It says that it is solved, and ends with a Ctrl-C. */
async function endsSolved({ process, pool }: Awaited<ReturnType<typeof begin>>): Promise<void> {
  await says(process, 'SOLVED after')
  await pool.end()
  process.child.kill('SIGINT')
  expect(await process.exitStatus(), process.stderr).toBe(0)
  expect(await process.leftBehind()).toEqual([])
}

test.concurrent('an incident is solved when the transaction that holds the mark is ended', async ({
  onTestFinished,
}) => {
  const begun = await begin('1', onTestFinished)
  expect(begun.process.stdout).toContain('[FIRING:1] TidemarkMarkStale')
  await begun.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'checkout'`,
  )
  await endsSolved(begun)
}, 180_000)

test.concurrent('an incident is solved when the event that fails is skipped', async ({ onTestFinished }) => {
  const begun = await begin('2', onTestFinished)
  expect(begun.process.stdout).toContain('[FIRING:1] TidemarkProjectionNotRunning')
  const { pool } = begun
  const { rows } = await pool.query(
    `select position from events where type = 'OrderPaid' and amount_cents is null`,
  )
  const operations = createOperations({
    checkpoints: postgresCheckpoints({ pool }),
    source: postgresEvents({ pool, table: 'events' }),
  })
  await operations.skipNext({
    projection: 'revenue',
    position: BigInt(rows[0].position),
    who: 'ann',
    why: 'has no amount',
  })
  await endsSolved(begun)
}, 180_000)
