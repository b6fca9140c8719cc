import { setTimeout as sleep } from 'node:timers/promises'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import { startChild } from '../support/child.ts'
import { createDatabase, openTransaction } from '../support/database.ts'
import { createMethod, type MethodName } from './method.ts'
import type { EndedTransaction, WritersOrder } from './writers-protocol.ts'

export interface Trial {
  readonly method: MethodName
  readonly pollTimeShare: number
  /** Whether one unrelated transaction, which has written elsewhere, is open throughout. */
  readonly withOpenTransaction: boolean
}

export interface TrialOptions {
  readonly writers: number
  readonly seconds: number
  readonly thresholdMs: number
  readonly seed: number
}

/** The writers connect and the first polls check every condition. */
const WARM_UP_MS = 1_000
const MOST_WAIT_AFTER_MS = 5_000
let databases = 0

/** The delay of each committed event, in ms: infinite where it could not be read until the end. */
export async function runTrial(
  server: EmbeddedPostgres,
  trial: Trial,
  options: TrialOptions,
): Promise<number[]> {
  const name = `trial_${++databases}`
  const pool = await createDatabase(server, name)
  await pool.query(`
    create table events (position bigint generated always as identity primary key, type text not null,
      data jsonb not null, transaction_id xid8 not null default pg_current_xact_id());
    create index on events (transaction_id, position);
    create table elsewhere (n int)`)
  await postgresCheckpoints({ pool }).prepare?.(new AbortController().signal)
  const unrelated = trial.withOpenTransaction ? await openTransaction(pool) : undefined
  const method = createMethod(trial.method, pool, 'events', { ...trial, ...options })
  await method.agent.start()
  const ended = await runWriters({
    ...options,
    connectionString: server.connectionString(name),
    table: 'events',
  })
  const last = ended.findLast(({ committed }) => committed)?.position ?? 0
  for (let waited = 0; waited < MOST_WAIT_AFTER_MS && method.readableAtMs(last) === undefined; waited += 10)
    await sleep(10)
  await method.agent.stop()
  unrelated?.release(true)
  await pool.end()
  return delays(ended, method.readableAtMs)
}

async function runWriters(order: WritersOrder): Promise<EndedTransaction[]> {
  const writing = startChild('mark-writers')
  const ended = await writing.ask<EndedTransaction[]>({ ...order })
  await writing.end()
  return ended.toSorted((a, b) => a.position - b.position)
}

/** The oracle: a position is settled once it and every position below it have ended, and the writers know when. */
function delays(
  ended: readonly EndedTransaction[],
  readableAtMs: (position: number) => number | undefined,
): number[] {
  const from = Math.min(...ended.map(({ endedAtMs }) => endedAtMs)) + WARM_UP_MS
  let settledAtMs = 0
  let before = 0
  return ended.flatMap(({ position, committed, endedAtMs }) => {
    if (position !== ++before) throw new Error(`no writer knows of position ${before}`)
    settledAtMs = Math.max(settledAtMs, endedAtMs)
    if (!committed || settledAtMs < from) return []
    return [(readableAtMs(position) ?? Number.POSITIVE_INFINITY) - settledAtMs]
  })
}
