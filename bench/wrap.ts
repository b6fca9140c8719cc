/**
 * `pnpm bench:wrap`: what it costs to have a catch-up subscription monitored, with both clients, and with no client at
 * all, where nothing else hides it. The consumer does nothing, so the share of the cost is as great as it can be.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { readCommandLine } from './support/command-line.ts'
import { describeMachine } from './support/environment.ts'
import { wholeNumber } from './support/table.ts'
import { STREAM, SUBSCRIBED } from './wrap/subscriptions.ts'

console.log('pnpm bench:wrap')
const {
  events,
  'in-process-events': inProcessEvents,
  rounds,
  'scrape-ms': scrapeMs,
} = readCommandLine(
  // Prometheus scrapes every 15 s or more seldom; a run here is shorter than that.
  { events: 100_000, 'in-process-events': 1_000_000, rounds: 15, 'scrape-ms': 1_000 },
  { events: 5_000, 'in-process-events': 50_000, rounds: 1 },
)
console.log(describeMachine())

const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url))
const server = fork(program('wrap-server'), [STREAM, String(events)])
try {
  const [port] = await once(server, 'message')
  for (const name of SUBSCRIBED) {
    const count = name === 'a Readable' ? inProcessEvents : events
    console.log(
      `\n${name}: ${wholeNumber(count)} events, 1 + ${rounds} rounds; scraped every ${scrapeMs} ms. Round 1 warms up ` +
        'and does not count',
    )
    const args = [name, port, count, rounds, scrapeMs].map(String)
    const [code] = await once(fork(program('wrap-subscriber'), args), 'exit')
    if (code !== 0) throw new Error(`the subscriber with ${name} failed`)
  }
} finally {
  server.disconnect()
}
console.log(
  '\nratios and costs against "bare", median of those within a round; CPU of the subscribing process. Target: at least ' +
    '0.97 x with both clients. What "bare, again" differs by is noise',
)
