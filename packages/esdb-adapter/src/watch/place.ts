import { type CheckpointPlace, isReached } from '@tidemark/core/adapter'
import { originalRecord } from '../client.ts'
import { hasType } from '../client-errors.ts'
import { EsdbReaderUnavailableError } from '../errors.ts'
import type { EventLog } from '../event-log.ts'
import { readNewest } from '../high-water.ts'
import { type CallLimits, readEach } from '../read.ts'

interface Placed<P> {
  readonly place: CheckpointPlace
  /** The last position of the log; `undefined` where none can be read. */
  readonly head: P | undefined
}

/** Another node may be behind. */
const LEADER = { requiresLeader: true } as const

/** Where a checkpoint stands in its log. To be called after the checkpoint was read: the leader's log then holds it. */
export async function placeOf<P>(log: EventLog<P>, checkpoint: P, limits: CallLimits): Promise<Placed<P>> {
  try {
    let newest = await readNewest(log, limits, LEADER)
    // A read may be cut short without an error.
    if (!isReached(log.order, checkpoint, newest && log.positionOf(newest)))
      newest = await readNewest(log, limits, LEADER)
    if (newest === undefined) {
      const place = (await log.isTruncated(checkpoint, limits)) ? 'off_log' : 'beyond_log'
      return { place, head: undefined }
    }
    const head = log.positionOf(newest)
    const ahead = log.order.compare(checkpoint, head)
    if (ahead > 0) return { place: 'beyond_log', head }
    return { place: ahead === 0 || (await isThere(log, checkpoint, limits)) ? 'in_log' : 'off_log', head }
  } catch (error) {
    // Deleted for good.
    if (hasType(error, 'stream-deleted')) return { place: 'off_log', head: undefined }
    throw error
  }
}

async function isThere<P>(log: EventLog<P>, position: P, limits: CallLimits): Promise<boolean> {
  const found = await readAt(log, position, limits)
  if (found !== 'unreadable') return found
  // A cut connection looks the same. So the log has to be readable, and the position still not.
  await readNewest(log, limits, LEADER)
  return (await readAt(log, position, limits)) === true
}

/** Whether an event stands there. The server reads `$all` only from where a record begins: elsewhere it is `unreadable`. */
async function readAt<P>(log: EventLog<P>, position: P, limits: CallLimits): Promise<boolean | 'unreadable'> {
  let isFound = false
  try {
    await readEach(
      `the event at ${log.order.format(position)} of ${log.title}`,
      () => log.readForwards({ after: undefined, from: position, upTo: position, limit: 1 }),
      limits,
      (event) => {
        isFound ||= log.order.compare(log.positionOf(originalRecord(event)), position) === 0
        return !isFound
      },
    )
  } catch (error) {
    if (isUnreadable(error)) return 'unreadable'
    throw error
  }
  return isFound
}

/** What the clients make of the server's "InvalidPosition": the older one `unknown`, the newer one `unavailable`. */
function isUnreadable(error: unknown): boolean {
  return (
    error instanceof EsdbReaderUnavailableError || hasType(error, 'unknown') || hasType(error, 'unavailable')
  )
}
