import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { binaryEvent, jsonEvent, KurrentDBClient } from '@kurrent/kurrentdb-client'
import { startEsdbServer } from './server.ts'

// A simulated server in the place of one that the suites cannot steer: somebody else writes to it all the time, and it has
// streams as system projections make them. Runs the command that it is given, with ESDB_CONNECTION_STRING and
// ESDB_RESTART_COMMAND, and then looks at what the command has left behind: that fails the run.

const WRITE_EVERY_MS = 20
/** Streams of the other writer, and those that a server has by itself. */
const OTHERS = 'somebody-else'
const BY_ITSELF = /^\$\$?(settings|users|user-admin|persistentSubscriptionConfig|stats-|scavenges)/

const server = await startEsdbServer()
const db = KurrentDBClient.connectionString(server.connectionString.replace('esdb', 'kurrentdb'))
const restarts = createServer((_, response) => {
  server.restart({ keepLog: true }).then(
    () => response.end(),
    (error: Error) => response.writeHead(500).end(error.message),
  )
}).listen(0, '127.0.0.1')
await once(restarts, 'listening')
const restartUrl = `http://127.0.0.1:${(restarts.address() as AddressInfo).port}`

const stopped = new AbortController()
const writing = write(stopped.signal)
const [command = '', ...args] = process.argv.slice(2)
const child = spawn(command, args, {
  stdio: 'inherit',
  env: {
    ...process.env,
    ESDB_CONNECTION_STRING: server.connectionString,
    ESDB_RESTART_COMMAND: `"${process.execPath}" -e "fetch('${restartUrl}').then(({ ok }) => process.exit(ok ? 0 : 1))"`,
  },
})
const [status] = await once(child, 'exit')
stopped.abort()
const written = await writing
const left = await leftBehind()
console.log(`somebody else wrote ${written} events meanwhile; left behind: ${left.join(', ') || 'nothing'}`)
await db.dispose()
restarts.close()
await server.stop()
process.exitCode = status === 0 && left.length > 0 ? 1 : (status ?? 1)

/** Resolves to how many events it wrote. A restart of the server it gets over. */
async function write(until: AbortSignal): Promise<number> {
  let count = 0
  for (; !until.aborted; await sleep(WRITE_EVERY_MS)) {
    try {
      const { nextExpectedRevision } = await db.appendToStream(
        `${OTHERS}-${count % 3}`,
        jsonEvent({ type: 'Happened', data: { count } }),
      )
      const link = () =>
        binaryEvent({ type: '$>', data: Buffer.from(`${nextExpectedRevision}@${OTHERS}-${count % 3}`) })
      await db.appendToStream(`$ce-${OTHERS}`, link())
      await db.appendToStream('$et-Happened', link())
      if (count % 50 === 0) await server.writeStatistics()
      count += 3
    } catch {
      // It is being restarted.
    }
  }
  return count
}

/** Streams that can be read, and groups. */
async function leftBehind(): Promise<string[]> {
  const streams = new Set<string>()
  for await (const { event, link } of db.readAll()) streams.add((link ?? event)?.streamId ?? '')
  const left: string[] = []
  for (const stream of streams) {
    const isMeta = stream.startsWith('$$')
    if (isMeta || stream.includes(OTHERS) || stream === '$et-Happened' || BY_ITSELF.test(stream)) continue
    if (await isReadable(stream)) left.push(stream)
  }
  const groups = await db.listAllPersistentSubscriptions()
  return [...left, ...groups.map(({ eventSource, groupName }) => `group ${groupName} of ${eventSource}`)]
}

async function isReadable(stream: string): Promise<boolean> {
  try {
    let events = 0
    for await (const _ of db.readStream(stream, { maxCount: 1 })) events++
    return events > 0
  } catch {
    return false
  }
}
