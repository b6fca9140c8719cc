import { setTimeout as sleep } from 'node:timers/promises'
import { isReached, type PositionOrder, type StoredProgress, StoreRewoundError } from '@tidemark/core/adapter'
import type { EsdbRecord } from './client.ts'
import type { EventLog } from './event-log.ts'
import type { CallLimits } from './read.ts'

/** A position that was there. */
export interface KnownPosition<P> {
  readonly position: P
  /** Who says so, for the message. */
  readonly what: string
}

/**
 * A node may be behind another one, and a call may be cut short. So a log that looks as if it went back is read again
 * after a while, from the leader, before anything halts.
 */
const LOOK_AGAIN_AFTER_MS = 500

/** The furthest of the stored positions. */
export function furthest<P>(
  order: PositionOrder<P>,
  stored: readonly StoredProgress<P>[],
): KnownPosition<P> | undefined {
  let known: KnownPosition<P> | undefined
  for (const { unit, position } of stored) {
    if (position === undefined || isReached(order, position, known?.position)) continue
    known = {
      position,
      what: unit === undefined ? 'a checkpoint' : `the checkpoint of "${unit.projection}"`,
    }
  }
  return known
}

/**
 * The last record of a log that seems to end before a position that was there. If it still does, its owner has
 * truncated it, or it is another log than before. In the latter case the server hands out nothing until it has grown
 * past that position, and leaves out everything up to there.
 */
export async function confirmNewest<P>(
  log: EventLog<P>,
  { position, what }: KnownPosition<P>,
  readNewest: () => Promise<EsdbRecord | undefined>,
  limits: CallLimits,
): Promise<EsdbRecord | undefined> {
  await sleep(LOOK_AGAIN_AFTER_MS, undefined, { signal: limits.signal })
  const newest = await readNewest()
  const head = newest && log.positionOf(newest)
  if (isReached(log.order, position, head)) return newest
  if (newest === undefined && (await log.isTruncated(position, limits))) return undefined
  const { format } = log.order
  throw new StoreRewoundError(
    `${what} stands at ${format(position)}, but ${log.title} ${head === undefined ? 'is empty' : `ends at ${format(head)}`}: ` +
      'a restored backup, another cluster, or a log that was removed. What is appended up to that position would never be ' +
      'projected, so Tidemark halts here. Check the connection string; if the log really went back, set each checkpoint to ' +
      'a position that still holds (or delete it, to project anew), and restart',
  )
}
