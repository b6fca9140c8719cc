import type { Log, LogRecord, Stream } from './log.ts'
import { firstReadable, isSoftDeleted } from './stream-metadata.ts'

/** No revision, and no position, of the protocol: "from the end" (StreamRevision.End). */
export const END: bigint = 2n ** 64n - 1n

export type StreamState = 'readable' | 'no stream' | 'tombstoned'

/** A stream without events and a deleted one are no stream (IndexReader.ReadStreamEventsForwardInternal). */
export function streamState(log: Log, name: string): StreamState {
  const stream = log.stream(name)
  if (stream === undefined) return 'no stream'
  if (stream.tombstoned) return 'tombstoned'
  return stream.records.length === 0 || isSoftDeleted(log, name) ? 'no stream' : 'readable'
}

/** The index of the first record of the stream at or after `revision`. */
export function firstAtOrAfter(stream: Stream, revision: bigint): number {
  let low = 0
  let high = stream.records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const record = stream.records[middle]
    if (record && record.revision < revision) low = middle + 1
    else high = middle
  }
  return low
}

/** The next readable record at or after `revision`. */
export function nextInStream(log: Log, stream: Stream, revision: bigint): LogRecord | undefined {
  const first = firstReadable(log, stream, Date.now())
  for (let i = firstAtOrAfter(stream, first > revision ? first : revision); ; i++) {
    const record = stream.records[i]
    if (record === undefined || !record.scavenged) return record
  }
}

/** Oldest first, from `from` on, as far as there are events when one gets there. */
export function* forwards(log: Log, name: string, from: bigint): Generator<LogRecord> {
  const stream = log.stream(name)
  if (stream === undefined) return
  for (let at = from; ; ) {
    const record = nextInStream(log, stream, at)
    if (record === undefined) return
    yield record
    at = record.revision + 1n
  }
}

/** Newest first, from `from` down. */
export function* backwards(log: Log, name: string, from: bigint): Generator<LogRecord> {
  const stream = log.stream(name)
  if (stream === undefined) return
  const first = firstReadable(log, stream, Date.now())
  for (let i = firstAtOrAfter(stream, from + 1n) - 1; i >= 0; i--) {
    const record = stream.records[i]
    if (record === undefined || record.revision < first) return
    if (!record.scavenged) yield record
  }
}
