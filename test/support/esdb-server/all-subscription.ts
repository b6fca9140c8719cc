import { randomUUID } from 'node:crypto'
import { isReadable, readPage, START_OF_LOG } from './all-reads.ts'
import { ERRORS } from './errors.ts'
import { eventResponse } from './event-responses.ts'
import { filterOf, isShown, PAGE_SIZE } from './filters.ts'
import { resolve } from './links.ts'
import { LiveBuffer } from './live-buffer.ts'
import type { Log, LogRecord } from './log.ts'
import { comparePositions, type LogPosition } from './log-position.ts'
import type { OpenCall } from './open-calls.ts'
import type { streams } from './protocol.ts'
import { caughtUp, checkpoint, confirmation } from './read-responses.ts'

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
  const sendCheckpoint = async (): Promise<void> => {
    if (reached) await open.send(checkpoint(reached))
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
        // Never behind what was looked at last: the checkpoint is where that page began.
        if (isAfter(from, reached) && comparePositions(from, page.next) < 0) reached = from
        considered += page.considered
        if (page.isEnd) {
          reached ??= START_OF_LOG
          await sendCheckpoint()
        } else if (considered >= filter.checkpointInterval) {
          considered %= filter.checkpointInterval
          await sendCheckpoint()
        }
      }
      if (page.isEnd) return true
      from = page.next
    }
    return true
  }

  for (let behind = known !== undefined && isAfter(known, reached); !open.ended.aborted; behind = true) {
    if (behind && !(await catchUp())) return open.fail(ERRORS['invalid-position']({}))
    await open.send(caughtUp(reached && { position: reached }))
    for (;;) {
      const next = await live.take()
      if (next === undefined) return
      const inSequence = next.number === seen + 1
      seen = next.number
      const { item } = next
      if ('record' in item ? !isAfter(item.record, reached) : isAfter(reached, item.checkpoint)) continue
      if (!inSequence) {
        if (filter) await sendCheckpoint()
        break
      }
      if ('record' in item) await send(item.record)
      else {
        reached = item.checkpoint
        await sendCheckpoint()
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
