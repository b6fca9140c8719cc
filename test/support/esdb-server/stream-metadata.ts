import { DELETED, type Log, type LogRecord, type Stream } from './log.ts'

// SystemStreams.cs: the metadata of a stream is the last event of its metastream, and a metastream keeps one event.
export const metastreamOf = (stream: string): string => `$$${stream}`
export const isMetastream = (stream: string): boolean => stream.startsWith('$$')
export const originalStreamOf = (metastream: string): string => metastream.slice(2)

export interface StreamMetadata {
  readonly maxCount?: bigint
  readonly maxAgeMs?: number
  readonly truncateBefore?: bigint
}

const parsed = new WeakMap<LogRecord, StreamMetadata>()

export function metadataOf(log: Log, stream: string): StreamMetadata {
  if (isMetastream(stream)) return { maxCount: 1n }
  const record = log.stream(metastreamOf(stream))?.records.at(-1)
  if (record === undefined) return {}
  const known = parsed.get(record) ?? parseStreamMetadata(record)
  parsed.set(record, known)
  return known
}

function parseStreamMetadata(record: LogRecord): StreamMetadata {
  const { $maxCount, $maxAge, $tb } = parseObject(record)
  return {
    ...(typeof $maxCount === 'number' ? { maxCount: BigInt($maxCount) } : {}),
    ...(typeof $maxAge === 'number' ? { maxAgeMs: $maxAge * 1000 } : {}),
    // 9223372036854775807 of a deleted stream is no exact number: whatever is as large is that.
    ...(typeof $tb === 'number' ? { truncateBefore: $tb >= Number(DELETED) ? DELETED : BigInt($tb) } : {}),
  }
}

/** What is no JSON object counts as none (StreamMetadata.TryFromJsonBytes). */
function parseObject({ data }: LogRecord): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString())
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

/** The metadata with `$tb` changed (StorageWriterService.ModifyMetadata). */
export function withTruncateBefore(log: Log, stream: string, truncateBefore: bigint): string {
  const record = log.stream(metastreamOf(stream))?.records.at(-1)
  const { $tb: _, ...others } = record ? parseObject(record) : {}
  const members = Object.entries(others).map(
    ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
  )
  return `{${[...members, `"$tb":${truncateBefore}`].join(',')}}`
}

/** Deleted, but not for good. */
export function isSoftDeleted(log: Log, stream: string): boolean {
  return metadataOf(log, stream).truncateBefore === DELETED
}

/** The first revision that metadata leaves readable (IndexReader.ReadStreamEventsForwardInternal). */
export function firstReadable(log: Log, stream: Stream, now: number): bigint {
  const { maxCount, maxAgeMs, truncateBefore } = metadataOf(log, stream.name)
  let first = truncateBefore ?? 0n
  if (maxCount !== undefined && stream.nextRevision - maxCount > first) first = stream.nextRevision - maxCount
  if (maxAgeMs === undefined) return first
  // The events of a stream are ordered by time: reading begins at the first that is young enough.
  const young = stream.records.find((record) => record.createdMs >= now - maxAgeMs)
  const firstYoung = young?.revision ?? stream.nextRevision
  return firstYoung > first ? firstYoung : first
}
