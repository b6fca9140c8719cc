import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { measureLoad, type Load as ServerLoad } from '../delay/backends.ts'
import { startConsumer } from '../delay/consumer.ts'
import { machineNowMs } from '../mark/writers-protocol.ts'
import { startChild } from '../support/child.ts'
import { createDatabase } from '../support/database.ts'
import { CREATE_EVENTS } from '../support/event-table.ts'
import type { ApiOrder, Load, OwnWrite, WaitMethod } from './protocol.ts'

export interface Trial extends Omit<Load, 'seconds'> {
  readonly method: WaitMethod
  /** Whether the process that waits has a daemon too, which stands by. */
  readonly standsBy: boolean
  /** Whether the daemon that works is stopped after half of the time. */
  readonly ownerStops: boolean
}

/** The load is that of the role that waits alone. */
export interface TrialResult extends ServerLoad {
  /** From the answer to a commit to the end of the wait, in ms. */
  readonly delays: readonly number[]
  /** From the end of the handler, which its commit follows, to the end of the wait, in ms. */
  readonly afterHandler: readonly number[]
}

/** The role of what waits, so that its statements are told apart. */
export const READER_ROLE = 'reader'

const SETTLE_DOWN_MS = 2_000
let databases = 0

export async function runTrial(
  server: EmbeddedPostgres,
  { method, standsBy, ownerStops, ...load }: Trial,
  seconds: number,
): Promise<TrialResult> {
  const database = `own_write_${++databases}`
  const admin = await createDatabase(server, database)
  await admin.query(`${CREATE_EVENTS}; create extension pg_stat_statements`)
  const appendAt = server.connectionString(database)
  const waitAt = new URL(appendAt)
  waitAt.username = READER_ROLE
  const handledAtMs = new Map<number, number>()
  let isHeld = standsBy
  let isWorking = false
  const owner = await startConsumer('wait', appendAt, { projections: 1 }, async (n) => {
    isWorking = true
    // Whoever comes second finds the checkpoint locked, and stands by.
    while (isHeld) await sleep(10)
    handledAtMs.set(n, machineNowMs())
  })
  if (standsBy) {
    await admin.query(`insert into events (stream, type, data) values ('first', 'Deposited', '{"n": -1}')`)
    while (!isWorking) await sleep(10)
  }
  const api = startChild('own-write-api')
  const tell = async <Answer>(order: ApiOrder): Promise<Answer> => await api.ask<Answer>({ ...order })
  await tell({ kind: 'start', method, standsBy, appendAt, waitAt: waitAt.href })
  isHeld = false
  await sleep(SETTLE_DOWN_MS)
  const loadUntilNow = await measureLoad(admin, READER_ROLE)
  const stopped = ownerStops ? sleep((seconds * 1_000) / 2).then(() => owner.stop()) : undefined
  const writes = await tell<OwnWrite[]>({ kind: 'write', ...load, seconds })
  const serverLoad = await loadUntilNow()
  await tell({ kind: 'stop' })
  await api.end()
  await (stopped ?? owner.stop())
  await admin.end()
  return {
    ...serverLoad,
    delays: writes.map(({ committedAtMs, waitedUntilMs }) => waitedUntilMs - committedAtMs),
    afterHandler: writes.flatMap(({ n, waitedUntilMs }) => {
      const atMs = handledAtMs.get(n)
      return atMs === undefined ? [] : [waitedUntilMs - atMs]
    }),
  }
}
