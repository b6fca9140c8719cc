/**
 * `pnpm bench:memory`: whether a replay's memory stays flat. The baseline is the resident set at 10 %. The garbage
 * collector is left alone, as it is in production.
 */
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import { addToBalances, CREATE_BALANCES, requireProjected } from './support/balances.ts'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { CREATE_EVENTS, fillEvents, toTransfer } from './support/event-table.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:memory')
const { events } = readCommandLine({ events: 3_000_000 }, { events: 100_000 })
const MIB = 1024 * 1024

await withServer(async (server) => {
  const pool = await createDatabase(server, 'memory')
  await pool.query(`${CREATE_EVENTS}; ${CREATE_BALANCES}`)
  await fillEvents(pool, events)
  const residentAt = new Map<number, number>()
  let handled = 0
  const daemon = createDaemon({
    source: postgresEvents({ pool, table: 'events' }),
    checkpoints: postgresCheckpoints({ pool }),
    projections: [{ name: 'balances', handle: (rows, { tx }) => addToBalances(tx, rows.map(toTransfer)) }],
    telemetry: {
      batchProcessed: (batch) => {
        handled += batch.events
        const percent = Math.floor((handled / events) * 10) * 10
        if (percent > 0 && !residentAt.has(percent)) residentAt.set(percent, process.memoryUsage.rss())
      },
    },
  })
  const startedMs = performance.now()
  await daemon.start()
  await daemon.waitUntilProjected()
  const seconds = (performance.now() - startedMs) / 1000
  await daemon.stop()
  await requireProjected(pool, events)
  await pool.end()

  const atTenth = residentAt.get(10) ?? Number.NaN
  console.log(
    `\n${wholeNumber(events)} events in ${seconds.toFixed(0)} s (${wholeNumber(events / seconds)} events/s)`,
  )
  printTable(
    ['replayed', 'resident MiB', 'x at 10 %'],
    [...residentAt].map(([percent, bytes]) => [
      `${percent} %`,
      (bytes / MIB).toFixed(0),
      `${(bytes / atTenth).toFixed(2)} x`,
    ]),
  )
  const atEnd = residentAt.get(100) ?? Number.NaN
  console.log(`at 100 % ${(atEnd / atTenth).toFixed(2)} x the memory at 10 %; target at most 1.20 x`)
})
