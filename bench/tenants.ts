/**
 * `pnpm bench:tenants`: many tenants on one server, with a daemon each in one process. Connections, statements a second, CPU of the
 * server and memory, idle and while each tenant appends. By layout: a database each or a schema each, with wake-ups or without.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'
import { startChild } from './support/child.ts'
import { readCommandLine } from './support/command-line.ts'
import { asRole, createDatabase, createRole } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { CREATE_EVENTS } from './support/event-table.ts'
import { percentile } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'
import { LAYOUTS, type Layout, type TenantsReport } from './tenants/layouts.ts'
import { measureServer, type ServerCost } from './tenants/server-cost.ts'

console.log('pnpm bench:tenants')
const { tenants, seconds, rate, settle } = readCommandLine(
  // The wait looks the more seldom the longer nothing comes, every 100 ms after 5 minutes: `--settle 310` shows that.
  { tenants: 200, seconds: 30, rate: 1, settle: 15 },
  { tenants: 5, seconds: 3, settle: 2 },
)

const ROLE = 'tenant'
/** Connections that are not the daemons': of writers, and of this program. */
const OTHERS = 40
const MIB = 1024 * 1024

interface Tenant {
  readonly url: string
  readonly table: string
  append(): Promise<unknown>
}

interface Result {
  readonly idle: ServerCost
  readonly busy: ServerCost
  readonly report: TenantsReport
  readonly appended: number
  readonly idleResident: number
}

await withServer(
  async (server) => {
    await createRole(server, ROLE)
    const admin = new pg.Pool({ connectionString: server.url, max: 4 })
    await admin.query('create extension pg_stat_statements')
    const results: [Layout, Result][] = []
    for (const layout of LAYOUTS) {
      results.push([layout, await run(server, admin, layout)])
      print(results.slice(-1))
    }
    print(results)
    await admin.end()
  },
  { shared_preload_libraries: 'pg_stat_statements', max_connections: String(3 * tenants + tenants + OTHERS) },
)

async function run(server: EmbeddedPostgres, admin: pg.Pool, layout: Layout): Promise<Result> {
  const writers: pg.Pool[] = []
  const all = await makeTenants(server, admin, layout, writers)
  const daemons = startChild('tenants-daemons')
  await daemons.ask<TenantsReport>({
    kind: 'start',
    layout: { ...layout, pool: { ...layout.pool } },
    tenants: all.map(({ url, table }) => [url, table]),
  })
  await sleep(settle * 1_000)
  const idleUntilNow = await measureServer(admin, ROLE, server.postmasterPid)
  await sleep(seconds * 1_000)
  const idle = await idleUntilNow()
  const { resident: idleResident, handled: before } = await daemons.ask<TenantsReport>({ kind: 'report' })

  const busyUntilNow = await measureServer(admin, ROLE, server.postmasterPid)
  const appended = (await Promise.all(all.map((tenant, n) => appendAll(tenant, n / all.length)))).reduce(
    (sum, count) => sum + count,
    0,
  )
  const busy = await busyUntilNow()
  const report = await daemons.ask<TenantsReport>({ kind: 'report' })
  await daemons.ask<TenantsReport>({ kind: 'stop' })
  await daemons.end()
  await Promise.all(writers.map((pool) => pool.end()))
  return { idle, busy, report: { ...report, handled: report.handled - before }, appended, idleResident }
}

/** @param writers - where the pools go that their writers use */
async function makeTenants(
  server: EmbeddedPostgres,
  admin: pg.Pool,
  layout: Layout,
  writers: pg.Pool[],
): Promise<readonly Tenant[]> {
  const stem = `layout_${LAYOUTS.indexOf(layout) + 1}`
  const asTenant = (database: string): string => asRole(server.connectionString(database), ROLE)
  const tenantOf = (pool: pg.Pool, database: string, table: string): Tenant => ({
    url: asTenant(database),
    table,
    append: () => pool.query(`insert into ${table} (stream, type, data) values ('a', 'Deposited', '{}')`),
  })
  const first = await createDatabase(server, stem)
  if (!layout.isDatabaseEach) {
    writers.push(first)
    const schemas = Array.from({ length: tenants }, (_, n) => `tenant_${n + 1}`)
    for (const schema of schemas) {
      await first.query(
        `create schema ${schema}; ${CREATE_EVENTS.replace('table events', `table ${schema}.events`)}`,
      )
    }
    return schemas.map((schema) => tenantOf(first, stem, `${schema}.events`))
  }
  await first.query(CREATE_EVENTS)
  await first.end()
  const all: Tenant[] = []
  for (let n = 1; n <= tenants; n++) {
    const database = `${stem}_${n}`
    await admin.query(`create database ${database} template ${stem}`)
    const pool = new pg.Pool({ connectionString: server.connectionString(database), max: 1 })
    writers.push(pool)
    all.push(tenantOf(pool, database, 'events'))
  }
  return all
}

/** At the rate, beginning after that part of a period; returns how many. */
async function appendAll(tenant: Tenant, offset: number): Promise<number> {
  const startMs = performance.now() + (offset * 1_000) / rate
  let count = 0
  for (; count < rate * seconds; count++) {
    const waitMs = startMs + (count * 1_000) / rate - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    await tenant.append()
  }
  return count
}

function print(results: readonly (readonly [Layout, Result])[]): void {
  console.log(
    `\n${tenants} tenants with a daemon each, in one process; ${seconds} s idle, then ${rate} events/s from each. CPU is that of the ` +
      'whole server, busy with the appends. Memory is per tenant: of the process while idle, and of the server for its connections',
  )
  printTable(
    [
      'layout',
      'connections',
      'at most',
      'statements/s',
      'cores',
      'busy: at most',
      'statements/s',
      'cores',
      'delay p50',
      'p99',
      'handled',
      'process MiB',
      'server MiB',
    ],
    results.map(([layout, { idle, busy, report, appended, idleResident }]) => [
      layout.name,
      `${idle.usual}`,
      `${idle.most}`,
      wholeNumber(idle.statementsPerSecond),
      idle.cores.toFixed(2),
      `${busy.most}`,
      wholeNumber(busy.statementsPerSecond),
      busy.cores.toFixed(2),
      `${wholeNumber(percentile(report.delays, 50))} ms`,
      `${wholeNumber(percentile(report.delays, 99))} ms`,
      `${wholeNumber(report.handled)} of ${wholeNumber(appended)}`,
      ((idleResident - report.residentBefore) / MIB / tenants).toFixed(2),
      (idle.backendBytes / MIB / tenants).toFixed(2),
    ]),
  )
}
