/**
 * `pnpm bench:audit`: how long `auditCommits` takes for a table of millions of events, and how much memory this process takes
 * meanwhile, beside what it took before.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { auditCommits, formatAudit } from '@tidemark/pg-adapter'
import type pg from 'pg'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { CREATE_EVENTS } from './support/event-table.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:audit')
const { events, each } = readCommandLine({ events: 10_000_000, each: 20 }, { events: 100_000 })
const SAMPLE_EVERY_MS = 50
const MEGABYTE = 1024 * 1024
/** What Linux counts CPU in. */
const TICKS_A_SECOND = 100

await withServer(
  async (server) => {
    const pool = await createDatabase(server, 'audit')
    await pool.query(CREATE_EVENTS)
    await pool.query(`do $$ begin for n in 1..${Math.ceil(events / each)} loop
        insert into events (stream, type, data)
        select 'account-' || n, 'Deposited', jsonb_build_object('amount', n, 'note', repeat('x', 150))
        from generate_series(1, ${each});
        commit;
      end loop; end $$`)
    await pool.query('vacuum (analyze) events')
    for (const [name, options] of [
      ['commit timestamps', {}],
      ['with event times and types', { appendedAt: 'created_at', eventType: 'type' }],
    ] as const) {
      await measure(name, pool, server.postmasterPid, options)
    }
    await pool.end()
  },
  { track_commit_timestamp: 'on', synchronous_commit: 'off' },
)

async function measure(
  name: string,
  pool: pg.Pool,
  postmasterPid: number,
  options: { readonly appendedAt?: string; readonly eventType?: string },
): Promise<void> {
  globalThis.gc?.()
  const beforeBytes = process.memoryUsage().rss
  let peakBytes = beforeBytes
  const sampling = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage().rss)
  }, SAMPLE_EVERY_MS)
  const startedMs = performance.now()
  const cpu = process.cpuUsage()
  const serverCpu = cpuSecondsBelow(postmasterPid)
  const audit = await auditCommits({ pool, table: 'public.events', ...options })
  const seconds = (performance.now() - startedMs) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  const serverSeconds = cpuSecondsBelow(postmasterPid) - serverCpu
  clearInterval(sampling)
  console.log(`\n${name}\n\n${formatAudit(audit)}\n`)
  printTable(
    ['rows', 'seconds', 'rows a second', 'CPU here, s', 'of the server, s', 'memory before, MB', 'peak, MB'],
    [
      [
        wholeNumber(audit.past.rows),
        seconds.toFixed(1),
        wholeNumber(audit.past.rows / seconds),
        ((user + system) / 1_000_000).toFixed(1),
        serverSeconds.toFixed(1),
        wholeNumber(beforeBytes / MEGABYTE),
        wholeNumber(peakBytes / MEGABYTE),
      ],
    ],
  )
}

/** Of the processes of that server that are there now, as Linux tells it; `NaN` elsewhere. */
function cpuSecondsBelow(postmasterPid: number): number {
  try {
    const ticks = readdirSync('/proc')
      .filter((name) => /^[0-9]+$/.test(name))
      .map((pid) => statOf(pid))
      .filter(([, parent]) => Number(parent) === postmasterPid)
      .map((fields) => Number(fields[11]) + Number(fields[12]))
    return ticks.reduce((sum, of) => sum + of, 0) / TICKS_A_SECOND
  } catch {
    return Number.NaN
  }
}

/** What stands behind the name of the process: its state, its parent and so on. Empty if it has gone. */
function statOf(pid: string): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}
