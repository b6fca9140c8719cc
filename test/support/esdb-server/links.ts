import type { Log, LogRecord } from './log.ts'
import { firstReadable } from './stream-metadata.ts'
import { firstAtOrAfter } from './stream-reads.ts'

/** The type of an event that points to another one: its data is `<revision>@<stream>` (SystemEventTypes.LinkTo). */
export const LINK = '$>'

export interface Resolved {
  readonly event?: LogRecord
  readonly link?: LogRecord
}

/**
 * What a reader gets for this record. A link whose target is deleted or truncated comes without an event
 * (ResolvedEvent.ForFailedResolvedLink); so does one to a stream that never was.
 */
export function resolve(log: Log, record: LogRecord, resolveLinks: boolean): Resolved {
  if (!resolveLinks || record.type !== LINK) return { event: record }
  const event = target(log, record)
  return event === undefined ? { link: record } : { event, link: record }
}

function target(log: Log, link: LogRecord): LogRecord | undefined {
  const [, number, name] = /^(\d+)@(.+)$/.exec(Buffer.from(link.data).toString()) ?? []
  const stream = name === undefined ? undefined : log.stream(name)
  if (number === undefined || stream === undefined || stream.tombstoned) return undefined
  const revision = BigInt(number)
  const found = stream.records[firstAtOrAfter(stream, revision)]
  if (found?.revision !== revision || found.scavenged) return undefined
  return revision < firstReadable(log, stream, Date.now()) ? undefined : found
}
