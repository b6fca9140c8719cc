import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import type pg from 'pg'
import { measureLoad } from '../delay/backends.ts'
import type { Appended, AppendOrder } from '../delay/protocol.ts'
import { startChild } from '../support/child.ts'
import { asRole, createDatabase } from '../support/database.ts'
import { CREATE_EVENTS } from '../support/event-table.ts'
import { serverCpuSeconds } from '../tenants/server-cost.ts'
import { type DaemonLook, type DaemonOrder, type Delays, deliveries, type Layout } from './protocol.ts'

/** The roles of polls and pages, and of batches and checkpoints, so that their statements are told apart. */
export const READER_ROLE = 'reads'
export const WRITER_ROLE = 'batches'

/** All but the delays are of the time while events were appended. */
export interface TrialResult extends Delays {
  readonly eventsPerSecond: number
  /** Of polls and pages, with all that goes with them. */
  readonly readStatementsPerSecond: number
  readonly pollsPerSecond: number
  readonly pagesPerSecond: number
  /** Of batches, checkpoints and what operators want. */
  readonly otherStatementsPerSecond: number
  /** Cores; the server's with the appends. */
  readonly nodeCores: number
  readonly serverCores: number
  /** Of the process with the daemon at the end, in bytes, and what of it came after the daemon was made. */
  readonly resident: number
  readonly grown: number
}

const SETTLE_DOWN_MS = 3_000
const MOST_WAIT_AFTER_MS = 60_000
let databases = 0

/** Throws unless each event has come to each projection that wants it. */
export async function runTrial(
  server: EmbeddedPostgres,
  layout: Layout,
  { rate, seconds }: { readonly rate: number; readonly seconds: number },
): Promise<TrialResult> {
  const database = `shared_reads_${++databases}`
  const admin = await createDatabase(server, database)
  await admin.query(`${CREATE_EVENTS}; create extension pg_stat_statements`)
  await admin.query(`insert into events (stream, type, data) values ('first', 'type-0', '{"n": -1}')`)
  const connectionString = server.connectionString(database)
  const child = startChild('shared-reads-daemon')
  const ask = async <Answer>(order: DaemonOrder): Promise<Answer> => await child.ask<Answer>({ ...order })
  await ask<DaemonLook>({
    kind: 'start',
    layout: { ...layout },
    readAt: asRole(connectionString, READER_ROLE),
    writeAt: asRole(connectionString, WRITER_ROLE),
    mostEvents: Math.ceil(rate * seconds) + 1,
  })
  await sleep(SETTLE_DOWN_MS)

  const readsUntilNow = await measureLoad(admin, READER_ROLE)
  const othersUntilNow = await measureLoad(admin, WRITER_ROLE)
  const pagesBefore = await pages(admin)
  const cpuBefore = await serverCpuSeconds(server.postmasterPid)
  const before = await ask<DaemonLook>({ kind: 'look' })
  const beganMs = performance.now()
  const appended = await append({
    connectionString,
    store: 'table',
    rate,
    seconds,
    channel: undefined,
    ...(layout.hasTypeEach ? { types: layout.projections } : {}),
  })
  const took = (performance.now() - beganMs) / 1_000
  const now = await ask<DaemonLook>({ kind: 'look' })
  const serverCores = ((await serverCpuSeconds(server.postmasterPid)) - cpuBefore) / took
  const pagesPerSecond = ((await pages(admin)) - pagesBefore) / took
  const { statementsPerSecond: readStatementsPerSecond } = await readsUntilNow()
  const { statementsPerSecond: otherStatementsPerSecond } = await othersUntilNow()

  const expected = deliveries(layout, appended.length)
  let { handled } = now
  for (let waited = 0; waited < MOST_WAIT_AFTER_MS && handled < expected; waited += 100) {
    await sleep(100)
    handled = (await ask<DaemonLook>({ kind: 'look' })).handled
  }
  if (handled !== expected) throw new Error(`${layout.name}: handled ${handled} times, expected ${expected}`)
  const committedAtMs: number[] = []
  for (const { n, atMs } of appended) committedAtMs[n] = atMs
  const delays = await ask<Delays>({ kind: 'delays', committedAtMs })
  await ask<DaemonLook>({ kind: 'stop' })
  await child.end()
  await admin.end()
  return {
    ...delays,
    eventsPerSecond: appended.length / took,
    readStatementsPerSecond,
    pollsPerSecond: (now.polls - before.polls) / took,
    pagesPerSecond,
    otherStatementsPerSecond,
    nodeCores: (now.cpuSeconds - before.cpuSeconds) / took,
    serverCores,
    resident: now.resident,
    grown: now.resident - now.residentBefore,
  }
}

/** Each is sent a second time in a form that takes locks alone: that is not counted. */
async function pages(admin: pg.Pool): Promise<number> {
  const { rows } = await admin.query<{ calls: string }>(
    `select coalesce(sum(s.calls), 0)::text as calls from pg_stat_statements s
     join pg_roles r on r.oid = s.userid join pg_database d on d.oid = s.dbid
     where r.rolname = $1 and d.datname = current_database()
       and s.query like '%rows with ties%' and s.query not like '%as locked limit%'`,
    [READER_ROLE],
  )
  return Number(rows[0]?.calls)
}

async function append(order: AppendOrder): Promise<readonly Appended[]> {
  const writers = startChild('delay-writers')
  const appended = await writers.ask<Appended[]>({ ...order })
  await writers.end()
  return appended
}
