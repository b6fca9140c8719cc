import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BoundedClient, type BoundedPool, withConnection } from '../client.ts'
import { WakeUpsUnavailableError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts'

/** A connection that nobody uses may have gone silent: it is asked this often. */
const ASKED_EVERY_MS = 10_000

/** Tells of each notification on the channel, until `signal` fires. Rejects where none would arrive. */
export async function listenOn(
  pool: BoundedPool,
  channel: string,
  tell: () => void,
  signal: AbortSignal,
): Promise<void> {
  await withConnection(pool, signal, async (client, connection) => {
    // It goes on listening, whoever has it.
    connection.isSpent = true
    await listen(client, channel, tell, signal)
  })
}

async function listen(
  client: BoundedClient,
  channel: string,
  tell: () => void,
  signal: AbortSignal,
): Promise<void> {
  const own = `tidemark_${randomUUID()}`
  let hasHeard = false
  const lost = new AbortController()
  const onError = (): void => lost.abort()
  const notified = client as unknown as Notified
  const onNotification = (message: { readonly channel: string }): void => {
    if (message.channel === own) hasHeard = true
    else if (message.channel === channel) tell()
  }
  notified.on('notification', onNotification)
  client.on('error', onError)
  try {
    await client.query(`listen ${quoteIdentifier(own)}`)
    await client.query(`listen ${quoteIdentifier(channel)}`)
    // Before it, some may have been missed.
    tell()
    while (!signal.aborted) {
      hasHeard = false
      await client.query(`select pg_notify(${quoteLiteral(own)}, '')`)
      // A notification of its own arrives before the answer to the statement after its commit.
      await client.query('select 1')
      if (!hasHeard) throw new WakeUpsUnavailableError(DEAF)
      // Where the connection is lost, the next statement says so.
      await sleep(ASKED_EVERY_MS, undefined, { signal: AbortSignal.any([signal, lost.signal]) }).catch(
        () => {},
      )
    }
  } finally {
    client.removeListener('error', onError)
    notified.removeListener('notification', onNotification)
  }
}

const DEAF =
  'wakeUps.listen: a notification of its own did not arrive: a pooler in transaction mode stands between, or the client of the ' +
  "pool has no event 'notification'; connect the pool to the server itself, or set wakeUps: 'wait' or 'none'"

/** What node-postgres offers besides. Of pools that are another's, nobody knows. */
interface Notified {
  on(event: 'notification', listener: (message: { readonly channel: string }) => void): unknown
  removeListener(event: 'notification', listener: (message: { readonly channel: string }) => void): unknown
}
