import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { onTestFinished, test } from 'vitest'
import { agentOver, eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

/** A server that was told to shut down, in the protocol's words. */
const FAREWELL = errorResponse({ S: 'FATAL', V: 'FATAL', C: '57P01', M: 'terminating connection' })
/** ReadyForQuery, outside of a transaction: the connection is complete. */
const READY = Buffer.from('5a0000000549', 'hex')

test('a server that takes its leave in the packet that completes a connection does not end the process', async () => {
  const events = await db.events()
  const last = await events.append(2)
  const leaving = await leavingServer(5)
  const agent = await agentOver({ pool: db.newPool({ connectionString: leaving.url }), table: events.name })
  await agent.waitFor(last)
  await eventually(() => leaving.farewells()).toBe(5)
})

/** Stands before the server, and ends the first `times` connections as soon as they are there. */
async function leavingServer(times: number) {
  let farewells = 0
  const url = new URL(db.url)
  const listener = createServer((client) => {
    const upstream = connect(Number(url.port), url.hostname)
    client.pipe(upstream)
    upstream.on('data', (data) => {
      if (farewells === times || !data.subarray(-READY.length).equals(READY)) return client.write(data)
      farewells++
      client.end(Buffer.concat([data, FAREWELL]))
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
  })
  onTestFinished(() => void listener.close())
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const leaving = new URL(db.url)
  leaving.hostname = '127.0.0.1'
  leaving.port = String((listener.address() as AddressInfo).port)
  return { url: leaving.href, farewells: () => farewells }
}

function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.from(
    `${Object.entries(fields)
      .map(([name, value]) => `${name}${value}\0`)
      .join('')}\0`,
  )
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
