import type { Resolved } from './links.ts'
import type { LogRecord } from './log.ts'
import { streamIdentifier } from './names.ts'
import { shared, streams } from './protocol.ts'
import { END } from './stream-reads.ts'
import { uuidOf } from './uuids.ts'

const { ReadResp } = streams

// .NET ticks, of 100 ns (MetadataHelpers.AddGrpcMetadataFrom).
const TICKS_PER_MS = 10_000n

interface RecordedEvent<Self> {
  setId(id: shared.UUID): Self
  setStreamIdentifier(stream: shared.StreamIdentifier): Self
  setStreamRevision(revision: string): Self
  setCommitPosition(position: string): Self
  setPreparePosition(position: string): Self
  setCustomMetadata(metadata: Uint8Array): Self
  setData(data: Uint8Array): Self
  getMetadataMap(): { set(key: string, value: string): unknown }
}

/** Fills a message of either service, streams or persistent subscriptions. */
export function recordedEvent<Message extends RecordedEvent<Message>>(
  message: Message,
  record: LogRecord,
): Message {
  message
    .setId(uuidOf(record.id))
    .setStreamIdentifier(streamIdentifier(record.stream))
    .setStreamRevision(String(record.revision))
    .setPreparePosition(String(record.prepare))
    .setCommitPosition(String(record.commit))
    .setCustomMetadata(record.metadata)
    .setData(record.data)
  const metadata = message.getMetadataMap()
  metadata.set('type', record.type)
  metadata.set('created', String(BigInt(record.createdMs) * TICKS_PER_MS))
  metadata.set('content-type', record.isJson ? 'application/json' : 'application/octet-stream')
  return message
}

/** Whether the server has the commit position at hand: of what it read from `$all`, and of what is live. */
export type ReadOf = 'stream' | '$all'

const cache = new WeakMap<LogRecord, Buffer>()

/** An event as an answer of Streams.Read, encoded (Streams.Read.cs, ConvertToReadEvent). */
export function eventResponse(resolved: Resolved, of: ReadOf): Buffer {
  const { event, link } = resolved
  const plain = event && link === undefined && knowsPosition(event, of, true) ? event : undefined
  const known = plain && cache.get(plain)
  if (known) return known
  const made = Buffer.from(new ReadResp().setEvent(readEvent(resolved, of)).serializeBinary())
  if (plain) cache.set(plain, made)
  return made
}

function readEvent({ event, link }: Resolved, of: ReadOf): streams.ReadResp.ReadEvent {
  const message = new ReadResp.ReadEvent()
  if (link) message.setLink(recorded(link, of, true))
  if (event) message.setEvent(recorded(event, of, link === undefined))
  const original = link ?? event
  if (original && knowsPosition(original, of, true)) message.setCommitPosition(String(original.commit))
  else message.setNoPosition(new shared.Empty())
  return message
}

function recorded(
  record: LogRecord,
  of: ReadOf,
  original: boolean,
): streams.ReadResp.ReadEvent.RecordedEvent {
  const message = recordedEvent(new ReadResp.ReadEvent.RecordedEvent(), record)
  if (knowsPosition(record, of, original)) return message
  return message.setPreparePosition(String(END)).setCommitPosition(String(END))
}

/** ResolvedEvent.CalculatePosition: known of what is read from `$all`, and of events that committed themselves. */
function knowsPosition(record: LogRecord, of: ReadOf, original: boolean): boolean {
  return (of === '$all' && original) || record.commit === record.prepare
}
