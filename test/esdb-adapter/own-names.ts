import { randomUUID } from 'node:crypto'
import type { Position } from '@eventstore/db-client'
import { type Client, client } from './client.ts'

/** In the name of everything that this process makes on its server, by which it is found again. */
const MARK = `test${randomUUID().slice(0, 8)}`
let names = 0

/** A name for a stream, a group or a projection that nobody else uses, also on a server that is there for longer. */
export const unique = (name: string): string => `${name}-${MARK}-${++names}`

/** Where `$all` ends. */
export async function endOfAll(db: Client): Promise<Position> {
  let end: Position | undefined
  // Left early, a read of the older client is one that its `dispose()` waits for.
  for await (const { event, link } of db.readAll({
    direction: 'backwards',
    fromPosition: 'end',
    maxCount: 1,
  })) {
    end = (link ?? event)?.position
  }
  if (end) return end
  throw new Error('expected a last event in $all: a server has written some when it first started')
}

export interface Before {
  readonly end: Position
  readonly hasCheckpoints: boolean
}

/** What `removeOwn` has to know of the server as it was. */
export async function lookBefore(db: Client): Promise<Before> {
  return { end: await endOfAll(db), hasCheckpoints: await isReadable(db, LIST_OF_CHECKPOINTS) }
}

const CHECKPOINTS = 'tidemark-checkpoint'
const LIST_OF_CHECKPOINTS = `${CHECKPOINTS}s`

/**
 * Deletes the groups with own names, and the streams with own names that were written to since then: for good, but for
 * checkpoints. Whoever follows the list of them finds a stream that was deleted for good to be an error.
 */
export async function removeOwn(db: Client, { end, hasCheckpoints }: Before): Promise<void> {
  for (const { eventSource, groupName } of await groupsOf(db)) {
    if (!isOwn(eventSource) && !isOwn(groupName)) continue
    if (eventSource === '$all') await db.deletePersistentSubscriptionToAll(groupName)
    else await db.deletePersistentSubscriptionToStream(eventSource, groupName)
  }
  const streams = new Set<string>()
  for await (const { event, link } of db.readAll({ fromPosition: end })) {
    const stream = (link ?? event)?.streamId.replace(/^\$\$/, '') ?? ''
    // What the server keeps of a group it has deleted itself.
    if (isOwn(stream) && !stream.startsWith('$persistentsubscription-')) streams.add(stream)
  }
  if (!hasCheckpoints) streams.add(LIST_OF_CHECKPOINTS)
  for (const stream of streams) {
    if (!stream.startsWith(CHECKPOINTS)) await db.tombstoneStream(stream).catch(unlessDeleted)
    else if (await isReadable(db, stream)) await db.deleteStream(stream)
  }
}

async function isReadable(db: Client, stream: string): Promise<boolean> {
  let events = 0
  try {
    for await (const _ of db.readStream(stream, { maxCount: 1 })) events++
  } catch (error) {
    if (!(error instanceof client.StreamNotFoundError)) throw error
  }
  return events > 0
}

export const isOwn = (name: string): boolean => name.includes(MARK)

async function groupsOf(db: Client) {
  try {
    return await db.listAllPersistentSubscriptions()
  } catch (error) {
    if (error instanceof client.PersistentSubscriptionDoesNotExistError) return []
    throw error
  }
}

function unlessDeleted(error: unknown): void {
  if (!(error instanceof client.StreamDeletedError)) throw error
}
