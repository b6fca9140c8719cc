import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isReadable, readPage, START_OF_LOG } from './all-reads.ts'
import { BoundedChannel } from './bounded-channel.ts'
import { ERRORS } from './errors.ts'
import { eventResponse, type ReadOf } from './event-responses.ts'
import { type Filter, filterOf, isShown, PAGE_SIZE } from './filters.ts'
import { resolve } from './links.ts'
import { DELETED, type Log, type LogRecord } from './log.ts'
import { comparePositions, type LogPosition } from './log-position.ts'
import type { OpenCall } from './open-calls.ts'
import type { streams } from './protocol.ts'
import { caughtUp, checkpoint, confirmation } from './read-responses.ts'
import { nextInStream, streamState } from './stream-reads.ts'

/** Enumerators.cs: BoundedChannelOptions */
const CHANNEL_SIZE = 32
/** How long the server waits before it looks again whether a stream has events. */
const NO_STREAM_DELAY_MS = 50

interface Page {
  readonly records: readonly LogRecord[]
  /** A checkpoint that is due behind it. */
  readonly checkpoint?: LogPosition
  readonly isEnd: boolean
}

/** What a subscription reads. */
interface Source {
  /** The next page, or why there is none. */
  next(): Page | 'no stream' | 'deleted' | 'invalid position'
  /** Whether it was handed out before. */
  hasPassed(record: LogRecord): boolean
  pass(record: LogRecord): void
  /** What of a record that was just written is sent, besides the record. */
  isWanted(record: LogRecord): boolean
  checkpointAfter(record: LogRecord): boolean
}

type Sent = { readonly record: LogRecord; readonly of: ReadOf } | { readonly bytes: Buffer }

/**
 * Subscriptions of EventStoreDB to 23.10 (Grpc/Enumerators.StreamSubscription.cs, AllSubscription.cs,
 * AllSubscriptionFiltered.cs): page by page to the end of the log, then once more what came meanwhile, then what is live,
 * through two channels of 32. What finds no room in one ends the call.
 */
export async function subscribeAsBefore24(
  log: Log,
  open: OpenCall<Buffer>,
  options: streams.ReadReq.Options,
): Promise<void> {
  const ofAll = options.hasAll()
  const source = ofAll ? allSource(log, options) : streamSource(log, open.stream, options)
  const out = new BoundedChannel<Sent>(CHANNEL_SIZE, open.ended)
  const live = new BoundedChannel<Sent>(CHANNEL_SIZE, open.ended)
  const deleted = (): void => open.fail(ERRORS['stream-deleted']({ stream: open.stream }))
  void sendAll(log, open, out, source, options.getResolveLinks(), ofAll ? undefined : deleted)

  const beginsAtEnd = ofAll ? options.getAll()?.hasEnd() : options.getStream()?.hasEnd()
  if (!beginsAtEnd && !(await catchUp(open, source, out, deleted))) return
  let isLive = false
  const tooSlow = (): void =>
    open.fail(ERRORS[isLive ? 'consumer-too-slow' : 'consumer-too-slow-transitioning']({}))
  log.follow((record) => {
    const items: Sent[] = source.isWanted(record) ? [{ record, of: '$all' }] : []
    if (source.checkpointAfter(record)) items.push({ bytes: checkpoint(record, false) })
    for (const item of items) if (!live.tryWrite(item)) tooSlow()
  }, open.ended)
  if (beginsAtEnd) await confirm(out)
  for (let page = beginsAtEnd ? undefined : source.next(); typeof page === 'object'; page = source.next()) {
    if (page.records.some((record) => !out.tryWrite({ record, of: ofAll ? '$all' : 'stream' })))
      return tooSlow()
    if (page.isEnd) break
  }
  isLive = true
  await out.write({ bytes: caughtUp(undefined, false) })
  for (let item = await live.read(); item !== undefined; item = await live.read()) await out.write(item)
}

const confirm = (out: BoundedChannel<Sent>): Promise<void> => out.write({ bytes: confirmation(randomUUID()) })

/** Resolves to whether it came to the end of the log. */
async function catchUp(
  open: OpenCall<Buffer>,
  source: Source,
  out: BoundedChannel<Sent>,
  deleted: () => void,
): Promise<boolean> {
  let isConfirmed = false
  while (!open.ended.aborted) {
    const page = source.next()
    if (page === 'deleted') deleted()
    else if (page === 'invalid position') open.fail(ERRORS['invalid-position']({}))
    if (page === 'deleted' || page === 'invalid position') return false
    if (!isConfirmed) await confirm(out)
    isConfirmed = true
    if (page === 'no stream') {
      await sleep(NO_STREAM_DELAY_MS, undefined, { signal: open.ended }).catch(() => {})
      continue
    }
    for (const record of page.records)
      await out.write({ record, of: open.stream === '$all' ? '$all' : 'stream' })
    if (page.isEnd) return true
    if (page.checkpoint) await out.write({ bytes: checkpoint(page.checkpoint, false) })
  }
  return false
}

/** MoveNextAsync, and Streams.Read.cs, which writes at the client's speed. */
async function sendAll(
  log: Log,
  open: OpenCall<Buffer>,
  out: BoundedChannel<Sent>,
  source: Source,
  resolveLinks: boolean,
  deleted: (() => void) | undefined,
): Promise<void> {
  for (let item = await out.read(); item !== undefined; item = await out.read()) {
    if ('bytes' in item) {
      await open.send(item.bytes)
      continue
    }
    const { record, of } = item
    if (source.hasPassed(record)) continue
    source.pass(record)
    await open.send(eventResponse(resolve(log, record, resolveLinks), of))
    if (record.type === '$streamDeleted') deleted?.()
  }
}

function streamSource(log: Log, name: string, options: streams.ReadReq.Options): Source {
  const given = options.getStream()
  const start = given?.hasRevision() ? BigInt.asIntN(64, BigInt(given.getRevision())) : undefined
  let read = start === undefined ? 0n : start + 1n
  let passed = start
  return {
    next: () => {
      const stream = log.stream(name)
      const state = streamState(log, name)
      if (state === 'tombstoned') return 'deleted'
      if (stream === undefined || state === 'no stream' || nextInStream(log, stream, 0n) === undefined) {
        return 'no stream'
      }
      const records: LogRecord[] = []
      while (records.length < PAGE_SIZE) {
        const record = nextInStream(log, stream, read)
        if (record === undefined) return { records, isEnd: true }
        records.push(record)
        read = record.revision + 1n
      }
      return { records, isEnd: false }
    },
    hasPassed: ({ revision }) => passed !== undefined && revision <= passed && revision !== DELETED,
    pass: ({ revision }) => {
      passed = revision
    },
    isWanted: ({ stream }) => stream === name,
    checkpointAfter: () => false,
  }
}

function allSource(log: Log, options: streams.ReadReq.Options): Source {
  const filter: Filter | undefined = filterOf(options.getFilter())
  const given = options.getAll()?.getPosition()
  let read = given
    ? { commit: BigInt(given.getCommitPosition()), prepare: BigInt(given.getPreparePosition()) }
    : START_OF_LOG
  let isFirst = given !== undefined
  /** What was handed out; the position that was given is not looked at. */
  let passed: LogPosition | undefined
  let considered = 0
  return {
    next: () => {
      if (!isReadable(log, read)) return 'invalid position'
      if (isFirst) {
        // The record at the position given is left out: reading begins behind it.
        isFirst = false
        const skipped = readPage(log, read, () => true, { matching: 1, considered: 1 })
        read = skipped.next
      }
      const began = read
      const page = readPage(log, read, filter?.matches ?? isShown, {
        matching: PAGE_SIZE,
        considered: filter?.window ?? Number.POSITIVE_INFINITY,
      })
      read = page.next
      considered += page.considered
      if (filter === undefined || page.isEnd || considered < filter.checkpointInterval) return page
      considered %= filter.checkpointInterval
      return { ...page, checkpoint: page.records.at(-1) ?? began }
    },
    hasPassed: (record) => passed !== undefined && comparePositions(record, passed) <= 0,
    pass: ({ commit, prepare }) => {
      passed = { commit, prepare }
    },
    isWanted: filter?.matches ?? isShown,
    checkpointAfter: () => {
      if (filter === undefined || ++considered < filter.checkpointInterval) return false
      considered = 0
      return true
    },
  }
}
