import { randomUUID } from 'node:crypto'
import { isReadable, readPage, START_OF_LOG } from './all-reads.ts'
import { ERRORS } from './errors.ts'
import { eventResponse } from './event-responses.ts'
import { filterOf, isShown, PAGE_SIZE } from './filters.ts'
import type { Generation } from './generations.ts'
import { resolve } from './links.ts'
import { LiveBuffer } from './live-buffer.ts'
import type { Log, LogRecord } from './log.ts'
import { comparePositions, type LogPosition } from './log-position.ts'
import type { OpenCall } from './open-calls.ts'
import type { streams } from './protocol.ts'
import { caughtUp, checkpoint, confirmation } from './read-responses.ts'
import { END } from './stream-reads.ts'

/** Position.FromInt64 of (-1, -1): what servers to 24.10.3 send where there is no position. */
const NONE: LogPosition = { commit: END, prepare: END }

type Live = { readonly record: LogRecord } | { readonly checkpoint: LogPosition }

/**
 * Enumerator.AllSubscription.cs and Enumerator.AllSubscriptionFiltered.cs: confirms, reads pages from the log until its
 * end, says so, goes on with live events, and back to the log when those came too fast.
 *
 * What lies at or before the position given is not sent, also when the log does not reach that far yet: whoever comes
 * with a checkpoint of another database hears nothing, and no error.
 */
export async function subscribeToAll(
  log: Log,
  open: OpenCall<Buffer>,
  options: streams.ReadReq.Options,
  { saysWhen, checkpointWhenCaughtUp }: Generation,
): Promise<void> {
  const filter = filterOf(options.getFilter())
  const known = log.last
  const live = new LiveBuffer<Live>(open.ended)
  // SubscriptionsService.ProcessEventCommitted: counts every event since it was confirmed, matching or not.
  let counted = 0
  log.follow((record) => {
    if (filter ? filter.matches(record) : isShown(record)) live.push({ record })
    if (filter === undefined || ++counted < filter.checkpointInterval) return
    counted = 0
    live.push({ checkpoint: { commit: record.commit, prepare: record.prepare } })
  }, open.ended)
  await open.send(confirmation(randomUUID()))

  let reached = startOf(options.getAll(), known)
  let seen = 0
  const send = async (record: LogRecord): Promise<void> => {
    await open.send(eventResponse(resolve(log, record, options.getResolveLinks()), '$all'))
    reached = { commit: record.commit, prepare: record.prepare }
  }
  let sentCheckpoint: LogPosition | undefined
  const sendCheckpoint = async (position: LogPosition | undefined): Promise<void> => {
    // None is sent twice, nor one below another (MoveNextAsync).
    if (!isAfter(position, sentCheckpoint)) return
    sentCheckpoint = position
    if (position) await open.send(checkpoint(position, saysWhen))
  }

  /** Whether the place where a page began is a checkpoint. */
  const movesTo = (from: LogPosition, next: LogPosition, isEnd: boolean, isDue: boolean): boolean => {
    switch (checkpointWhenCaughtUp) {
      case 'none':
      case 'last-sent':
        return !isEnd && isDue
      case 'last-page':
        return isEnd || isDue
      case 'last-record':
        // The record at a position that is the end of the log was not looked at.
        return comparePositions(from, next) < 0
    }
  }

  /** Resolves to whether the log could be read. */
  const catchUp = async (): Promise<boolean> => {
    let considered = 0
    for (let from = reached ?? START_OF_LOG; !open.ended.aborted; ) {
      if (!isReadable(log, from)) return false
      const page = readPage(log, from, filter?.matches ?? isShown, {
        matching: PAGE_SIZE,
        considered: filter?.window ?? Number.POSITIVE_INFINITY,
      })
      for (const record of page.records) {
        if (isAfter(record, reached)) await send(record)
      }
      if (filter) {
        considered += page.considered
        const isDue = considered >= filter.checkpointInterval
        if (movesTo(from, page.next, page.isEnd, isDue) && isAfter(from, reached)) reached = from
        if (page.isEnd) {
          if (checkpointWhenCaughtUp === 'last-record') reached ??= START_OF_LOG
          await sendCheckpoint(reached ?? NONE)
        } else if (isDue) {
          considered %= filter.checkpointInterval
          await sendCheckpoint(reached)
        }
      }
      if (page.isEnd) return true
      from = page.next
    }
    return true
  }

  for (let behind = known !== undefined && isAfter(known, reached); !open.ended.aborted; behind = true) {
    if (behind && !(await catchUp())) return open.fail(ERRORS['invalid-position']({}))
    await open.send(caughtUp(reached && { position: reached }, saysWhen))
    for (;;) {
      const next = await live.take()
      if (next === undefined) return
      const inSequence = next.number === seen + 1
      seen = next.number
      const { item } = next
      if ('record' in item ? !isAfter(item.record, reached) : isAfter(reached, item.checkpoint)) continue
      if (!inSequence) {
        if (filter) await sendCheckpoint(reached)
        break
      }
      if ('record' in item) await send(item.record)
      else {
        reached = item.checkpoint
        await sendCheckpoint(reached)
      }
    }
  }
}

function isAfter(position: LogPosition | undefined, other: LogPosition | undefined): boolean {
  if (position === undefined || other === undefined) return position !== undefined
  return comparePositions(position, other) > 0
}

function startOf(
  options: streams.ReadReq.Options.AllOptions | undefined,
  known: LogPosition | undefined,
): LogPosition | undefined {
  const position = options?.getPosition()
  if (position) {
    return { commit: BigInt(position.getCommitPosition()), prepare: BigInt(position.getPreparePosition()) }
  }
  return options?.hasEnd() ? known : undefined
}
