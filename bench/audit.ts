/**
 * `pnpm bench:audit`: how long `auditCommits` takes for a table of millions of events, and how much memory this process takes
 * meanwhile, beside what it took before.
 */
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
      await measure(name, pool, options)
    }
    await pool.end()
  },
  { track_commit_timestamp: 'on', synchronous_commit: 'off' },
)

async function measure(
  name: string,
  pool: pg.Pool,
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
  const audit = await auditCommits({ pool, table: 'public.events', ...options })
  const seconds = (performance.now() - startedMs) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  clearInterval(sampling)
  console.log(`\n${name}\n${formatAudit(audit)}\n`)
  printTable(
    ['rows', 'seconds', 'rows a second', 'CPU of this process, s', 'memory before, MB', 'peak, MB'],
    [
      [
        wholeNumber(audit.past.rows),
        seconds.toFixed(1),
        wholeNumber(audit.past.rows / seconds),
        ((user + system) / 1_000_000).toFixed(1),
        wholeNumber(beforeBytes / MEGABYTE),
        wholeNumber(peakBytes / MEGABYTE),
      ],
    ],
  )
}
