import { ANY } from '../expected-revision.ts'
import type { Resolved } from '../links.ts'
import { LINK } from '../links.ts'
import { type Log, type LogRecord, systemEvent } from '../log.ts'
import { isSoftDeleted, metadataOf, metastreamOf } from '../stream-metadata.ts'
import { forwards } from '../stream-reads.ts'
import { deleteStream } from '../writes.ts'

// What the server keeps of a group is in streams beside the user's own.
const checkpointStream = (key: string): string => `$persistentsubscription-${key}-checkpoint`
const parkedStream = (key: string): string => `$persistentsubscription-${key}-parked`

/** PersistentSubscriptionCheckpointWriter.cs */
export function writeCheckpoint(log: Log, key: string, place: string): void {
  const stream = checkpointStream(key)
  if (log.stream(stream) === undefined)
    log.append(metastreamOf(stream), [systemEvent('$metadata', { $maxCount: 2 })])
  log.append(stream, [{ ...systemEvent('$SubscriptionCheckpoint', JSON.stringify(place)), isJson: true }])
}

/** PersistentSubscriptionCheckpointReader.cs */
export function readCheckpoint(log: Log, key: string): string | undefined {
  const stream = checkpointStream(key)
  const last = log.stream(stream)?.records.at(-1)
  if (last === undefined || isSoftDeleted(log, stream)) return undefined
  return JSON.parse(Buffer.from(last.data).toString())
}

/** PersistentSubscriptionMessageParker.BeginParkMessage: a link to the event, with the reason in its metadata. */
export function park(log: Log, key: string, { event, link }: Resolved, reason: string): void {
  const original = link ?? event
  const data = event ? `${event.revision}@${event.stream}` : Buffer.from(link?.data ?? []).toString()
  const metadata = {
    added: new Date().toISOString(),
    reason,
    subscriptionEventNumber: Number(original?.revision ?? 0n),
  }
  log.append(parkedStream(key), [
    { ...systemEvent(LINK, data), metadata: Buffer.from(JSON.stringify(metadata)) },
  ])
}

export function parkedCount(log: Log, key: string): number {
  const stream = parkedStream(key)
  if (isSoftDeleted(log, stream)) return 0
  return Number(log.lastRevision(stream) + 1n - (metadataOf(log, stream).truncateBefore ?? 0n))
}

/** Takes the parked messages before that revision out of the stream, oldest first. */
export function takeParked(log: Log, key: string, stopAt: bigint | undefined): LogRecord[] {
  const stream = parkedStream(key)
  const records = [...forwards(log, stream, 0n)].filter(
    ({ revision }) => stopAt === undefined || revision < stopAt,
  )
  const last = records.at(-1)
  if (last === undefined) return []
  const metadata = `{"$tb":${last.revision + 1n}}`
  log.append(metastreamOf(stream), [{ ...systemEvent('$metadata', metadata), isJson: true }])
  return records
}

export function deleteStreams(log: Log, key: string): void {
  for (const stream of [checkpointStream(key), parkedStream(key)]) {
    if (log.stream(stream)) deleteStream(log, stream, ANY, false)
  }
}

/** PersistentSubscriptionService.SaveConfiguration */
export function saveConfiguration(log: Log, keys: readonly string[]): void {
  log.append('$persistentSubscriptionConfig', [systemEvent('$PersistentConfig', { entries: keys })])
}
