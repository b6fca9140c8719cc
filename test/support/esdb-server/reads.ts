import { type ServerWritableStream, status } from '@grpc/grpc-js'
import * as allReads from './all-reads.ts'
import { subscribeToAll } from './all-subscription.ts'
import type { Database } from './database.ts'
import { ERRORS, failure, invalidArgument } from './errors.ts'
import { eventResponse } from './event-responses.ts'
import { type Filter, filterOf, PAGE_SIZE } from './filters.ts'
import { resolve } from './links.ts'
import type { Log, LogRecord } from './log.ts'
import type { LogPosition } from './log-position.ts'
import { streamName } from './names.ts'
import { subscribeAsBefore24 } from './old-subscription.ts'
import { OpenCall } from './open-calls.ts'
import type { streams } from './protocol.ts'
import { firstStreamPosition, lastStreamPosition, streamNotFound } from './read-responses.ts'
import { firstReadable } from './stream-metadata.ts'
import * as streamReads from './stream-reads.ts'
import { subscribeToStream } from './stream-subscription.ts'

export type ReadCall = ServerWritableStream<streams.ReadReq, Buffer>

// A read says it in another way than a subscription does: the enumerators of reads do not know this result.
const unreadable = () => failure(status.UNKNOWN, 'Unexpected ReadAllResult: InvalidPosition')

/** Streams.Read: reads end by themselves, subscriptions (`count_option` is `subscription`) do not. */
export async function read(database: Database, call: ReadCall): Promise<void> {
  const options = call.request.getOptions()
  if (options === undefined) return void call.emit('error', invalidArgument('no options'))
  const stream = options.hasAll() ? '$all' : streamName(options.getStream()?.getStreamIdentifier())
  const kind = options.hasSubscription() ? 'subscription' : 'read'
  const open = new OpenCall<Buffer>(call, database.misbehaviour, { kind, stream })
  database.calls.add(open)
  const refusal = database.misbehaviour.refusalOf(open)
  if (refusal) return open.fail(refusal)
  if (kind === 'subscription') {
    const { log, generation } = database
    if (generation.subscriptions === 'ends-when-slow') return subscribeAsBefore24(log, open, options)
    return options.hasAll()
      ? subscribeToAll(log, open, options, generation)
      : subscribeToStream(log, open, options, generation)
  }
  await (options.hasAll() ? readAll(database.log, open, options) : readStream(database.log, open, options))
}

// Enumerator.ReadStreamForwards.cs and ReadStreamBackwards.cs
async function readStream(log: Log, open: OpenCall<Buffer>, options: streams.ReadReq.Options): Promise<void> {
  const name = open.stream
  switch (streamReads.streamState(log, name)) {
    case 'tombstoned':
      return open.fail(ERRORS['stream-deleted']({ stream: name }))
    case 'no stream':
      await open.send(streamNotFound(name))
      return open.end()
    case 'readable':
  }
  const forwards = options.getReadDirection() === 0
  const from = revisionOf(options.getStream())
  const records = forwards ? streamReads.forwards(log, name, from) : streamReads.backwards(log, name, from)
  // Clients that say so (`control_option.compatibility`) hear where the stream begins, if not there, and where it ends.
  const hearsPositions = (options.getControlOption()?.getCompatibility() ?? 0) >= 1
  const begins = forwards && hearsPositions ? beginsElsewhere(log, name, from) : undefined
  if (begins !== undefined) await open.send(firstStreamPosition(begins))
  await sendEvents(log, open, options, records, undefined)
  if (hearsPositions) await open.send(lastStreamPosition(log.lastRevision(name)))
  open.end()
}

/** Where reading goes on when the first page, of 32, holds nothing (IndexReader.ReadStreamEventsForwardInternal). */
function beginsElsewhere(log: Log, name: string, from: bigint): bigint | undefined {
  const stream = log.stream(name)
  if (stream === undefined) return undefined
  const first = firstReadable(log, stream, Date.now())
  if (from + BigInt(PAGE_SIZE) <= first) return first
  return from > stream.nextRevision ? stream.nextRevision : undefined
}

// Enumerator.ReadAllForwards.cs and its siblings
async function readAll(log: Log, open: OpenCall<Buffer>, options: streams.ReadReq.Options): Promise<void> {
  const forwards = options.getReadDirection() === 0
  const from = positionOf(options.getAll(), log)
  if (!allReads.isReadable(log, from)) return open.fail(unreadable())
  const records = forwards ? allReads.forwards(log, from) : allReads.backwards(log, from)
  await sendEvents(log, open, options, records, filterOf(options.getFilter()))
  open.end()
}

async function sendEvents(
  log: Log,
  open: OpenCall<Buffer>,
  options: streams.ReadReq.Options,
  records: Iterable<LogRecord>,
  filter: Filter | undefined,
): Promise<void> {
  let left = BigInt(options.getCount())
  for (const record of records) {
    if (left <= 0n || open.ended.aborted) return
    if (filter && !filter.matches(record)) continue
    await open.send(
      eventResponse(resolve(log, record, options.getResolveLinks()), options.hasAll() ? '$all' : 'stream'),
    )
    left--
  }
}

// ReadReq.cs
function revisionOf(options: streams.ReadReq.Options.StreamOptions | undefined): bigint {
  if (options?.hasRevision()) return BigInt(options.getRevision())
  return options?.hasEnd() ? streamReads.END : 0n
}

function positionOf(options: streams.ReadReq.Options.AllOptions | undefined, log: Log): LogPosition {
  const position = options?.getPosition()
  if (position) {
    return { commit: BigInt(position.getCommitPosition()), prepare: BigInt(position.getPreparePosition()) }
  }
  return options?.hasEnd() ? { commit: log.end, prepare: log.end } : { commit: 0n, prepare: 0n }
}
