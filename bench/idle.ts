/**
 * `pnpm bench:idle`: how many messages an idle daemon with 4 projections sends to its server, probes and checkpoints
 * together. The baseline is what a daemon without a shared agent would do: each projection asking for its head itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon, type HandlerContext } from '@tidemark/core'
import { type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { addToBalances, CREATE_BALANCES } from './support/balances.ts'
import { readCommandLine } from './support/command-line.ts'
import { Counter } from './support/counting-client.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { CREATE_EVENTS, fillEvents, toTransfer } from './support/event-table.ts'
import { printTable } from './support/table.ts'

console.log('pnpm bench:idle')
const { seconds, events, projections } = readCommandLine(
  { seconds: 60, events: 10_000, projections: 4 },
  { seconds: 5, events: 1_000 },
)
/** Longer than any back-off and any checkpoint that follows the mark. */
const SETTLE_DOWN_MS = 5_000

const counter = new Counter((text) => text.replaceAll(/\s+/g, ' ').trim().slice(0, 70))

await withServer(async (server) => {
  const filling = await createDatabase(server, 'idle')
  await filling.query(`${CREATE_EVENTS}; ${CREATE_BALANCES}`)
  await fillEvents(filling, events)
  await filling.end()
  const pool = new pg.Pool({ connectionString: server.connectionString('idle'), Client: counter.Client })
  const daemon = createDaemon({
    source: postgresEvents({ pool, table: 'events', eventType: 'type' }),
    checkpoints: postgresCheckpoints({ pool }),
    projections: Array.from({ length: projections }, (_, index) => ({
      name: `projection_${index + 1}`,
      // One of them filters: its checkpoint has to follow the mark.
      ...(index === 0 ? { eventTypes: ['Withdrawn'] } : {}),
      handle: (rows: readonly PostgresRow[], { tx }: HandlerContext<pg.PoolClient>) =>
        index === 1 ? addToBalances(tx, rows.map(toTransfer)) : undefined,
    })),
  })
  await daemon.start()
  await daemon.waitUntilProjected()
  await sleep(SETTLE_DOWN_MS)
  counter.clear()
  await sleep(seconds * 1000)
  const messages = new Map([...counter.sent].map(([text, sent]) => [text, sent.messages]))
  await daemon.stop()
  await pool.end()
  report(messages)
})

function report(messages: ReadonlyMap<string, number>): void {
  const total = [...messages.values()].reduce((sum, count) => sum + count, 0)
  console.log(`\n${projections} projections, ${seconds} s without an event`)
  printTable(
    ['message', 'count', 'a second'],
    [...messages, ['all', total] as const].map(([text, count]) => [
      text,
      `${count}`,
      (count / seconds).toFixed(2),
    ]),
  )
  const perSecond = total / seconds
  console.log(
    `${perSecond.toFixed(2)} messages a second, target 3; ${(perSecond / projections).toFixed(2)} x the baseline of ` +
      'one message a second from each projection',
  )
}
