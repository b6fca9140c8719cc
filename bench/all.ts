/**
 * `pnpm bench:all`: a daemon over `$all` with both clients. How fast it catches up beside a bare read of `$all`, and for
 * how long it stands still at most while events come at an even rate. The server is the simulated one of the tests.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Progress } from './all/protocol.ts'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { describeMachine, withServer } from './support/environment.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:all')
const { events, rounds, seconds, slow, fast } = readCommandLine(
  { events: 50_000, rounds: 5, seconds: 60, slow: 10, fast: 1_000 },
  { events: 2_000, rounds: 1, seconds: 2 },
)
console.log(describeMachine())

const CLIENTS = ['@eventstore/db-client', '@kurrent/kurrentdb-client'] as const
const SERVER = fileURLToPath(new URL('../../test/support/esdb-server/dist/main.js', import.meta.url))
const program = (name: string): string => fileURLToPath(new URL(`./all-${name}.js`, import.meta.url))

for (const client of CLIENTS) {
  await withEsdb(async (port) => {
    await runToEnd(fork(program('replay'), [client, port, events, rounds].map(String)))
  })
}

const rows: string[][] = []
await withServer(async (postgres) => {
  for (const client of CLIENTS) {
    for (const eventsPerSecond of [slow, fast]) {
      for (const checkpoints of ['in the store', 'in Postgres'] as const) {
        // Checkpoints of a log that is gone would be told as a log that went back.
        const database = `steady_${rows.length}`
        await (await createDatabase(postgres, database)).end()
        await withEsdb(async (port, server) => {
          const args = [
            client,
            port,
            eventsPerSecond,
            seconds,
            checkpoints,
            postgres.connectionString(database),
          ]
          const steady = fork(program('steady'), args.map(String), { serialization: 'advanced' })
          const told = once(steady, 'message') as Promise<[Progress]>
          await runToEnd(steady)
          const [{ written, handled, p50Ms, p99Ms, longestMs }] = await told
          rows.push([
            client,
            String(eventsPerSecond),
            checkpoints,
            `${wholeNumber(handled)} of ${wholeNumber(written)}`,
            ...[p50Ms, p99Ms, longestMs].map((ms) => `${wholeNumber(ms)} ms`),
            await openCalls(server),
          ])
        })
      }
    }
  }
})
console.log(`\nevents at an even rate for ${seconds} s, each timed from its append to its handler`)
printTable(
  ['client', 'events/s', 'checkpoints', 'handled', 'p50', 'p99', 'longest', 'calls open after stop()'],
  rows,
)

async function withEsdb(use: (port: number, server: ChildProcess) => Promise<void>): Promise<void> {
  const server = fork(SERVER, [], { serialization: 'advanced' })
  try {
    const [{ port }] = await once(server, 'message')
    await use(port, server)
  } finally {
    server.kill('SIGKILL')
  }
}

async function runToEnd(child: ChildProcess): Promise<void> {
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error('the process that measures failed')
}

/** The process that measured is gone: what is open now was left open. */
async function openCalls(server: ChildProcess): Promise<string> {
  server.send({ id: 1, command: { name: 'counters', args: [] } })
  const [{ result }] = await once(server, 'message')
  const open = Object.entries(result.open as Record<string, number>).filter(([, count]) => count > 0)
  return open.map(([kind, count]) => `${count} ${kind}`).join(', ') || 'none'
}
