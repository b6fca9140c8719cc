import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BoundedClient, type BoundedPool, withConnection } from '../client.ts'
import { WakeUpsUnavailableError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts'
import { onNotification } from '../notifications.ts'
import { isOwnBackend } from '../own-backend.ts'

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
    const notify = async (own: string): Promise<void> => {
      await withConnection(pool, signal, (other) => other.query(notifySql(own)))
    }
    await listen(client, channel, { tell, notify }, signal)
  })
}

async function listen(
  client: BoundedClient,
  channel: string,
  { tell, notify }: { readonly tell: () => void; readonly notify: (own: string) => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  const own = `tidemark_${randomUUID()}`
  let hasHeard = false
  const lost = new AbortController()
  const onError = (): void => lost.abort()
  const stopListening = onNotification(client, (told) => {
    if (told === own) hasHeard = true
    else if (told === channel) tell()
  })
  client.on('error', onError)
  try {
    await client.query(`listen ${quoteIdentifier(own)}`)
    await client.query(`listen ${quoteIdentifier(channel)}`)
    if (!(await isOwnBackend(client))) {
      // Through a pooler its own may meet the backend that listens by chance. What another connection tells arrives in time, or never.
      await notify(own)
      for (let waited = 0; waited < HEARD_WITHIN_MS && !hasHeard; waited += HEARD_EVERY_MS)
        await sleep(HEARD_EVERY_MS, undefined, { signal })
      if (!hasHeard) throw new WakeUpsUnavailableError(DEAF)
    }
    // Before it, some may have been missed.
    tell()
    while (!signal.aborted) {
      hasHeard = false
      await client.query(notifySql(own))
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
    stopListening()
  }
}

const HEARD_WITHIN_MS = 1_000
const HEARD_EVERY_MS = 20

const notifySql = (channel: string): string => `select pg_notify(${quoteLiteral(channel)}, '')`

const DEAF =
  'wakeUps.listen: a notification of its own did not arrive: a pooler in transaction mode stands between, or the client of the ' +
  "pool has no event 'notification'; connect the pool to the server itself, or set wakeUps: 'wait' or 'none'"
