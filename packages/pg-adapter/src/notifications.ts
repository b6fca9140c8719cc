import type { PgClient } from './client.ts'

/** Tells of each notification that arrives on this connection, until what it returns is called. */
export function onNotification(
  client: PgClient,
  tell: (channel: string, payload: string) => void,
): () => void {
  const notified = client as unknown as Notified
  const listener = ({ channel, payload = '' }: Notification): void => tell(channel, payload)
  notified.on('notification', listener)
  return () => void notified.removeListener('notification', listener)
}

interface Notification {
  readonly channel: string
  readonly payload?: string | undefined
}

/** What node-postgres offers besides. Of pools that are another's, nobody knows. */
interface Notified {
  on(event: 'notification', listener: (message: Notification) => void): unknown
  removeListener(event: 'notification', listener: (message: Notification) => void): unknown
}
