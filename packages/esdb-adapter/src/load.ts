import { isReached, type LoadRequest, type Page } from '@tidemark/core/adapter'
import { appendedAtMs, type EsdbEvent, originalRecord } from './client.ts'
import { EsdbReadEndedEarlyError } from './errors.ts'
import type { EventLog } from './event-log.ts'
import { type CallLimits, readEach } from './read.ts'

/** Where types are left out, a small page has to look at more records than it may have events, or it is read in many calls. */
const LEAST_LOOKED_AT = 256

/**
 * A page is one read. It has looked at everything up to `upTo` only where an event at or above that position was seen: a
 * read that ends before, with no error, was cut short, or came from a node that is behind.
 */
export async function loadPage<P>(
  log: EventLog<P>,
  timeoutMs: number,
  { after, from, upTo, limit, eventTypes, signal }: Omit<LoadRequest<P>, 'evidence'>,
): Promise<Page<P, EsdbEvent>> {
  const { order } = log
  const limits = { timeoutMs, signal }
  const types = eventTypes && new Set(eventTypes)
  const events: EsdbEvent[] = []
  const positions: P[] = []
  const typesOf: string[] = []
  const appendTimesMs: (number | undefined)[] = []
  let through: P | undefined
  await readEach(
    `a page of ${log.title}`,
    () => log.readForwards({ after, from, upTo, limit: types ? Math.max(limit, LEAST_LOOKED_AT) : limit }),
    limits,
    (event) => {
      const record = originalRecord(event)
      const position = log.positionOf(record)
      if (from === undefined ? isReached(order, position, after) : order.compare(position, from) < 0)
        return true
      if (!isReached(order, position, upTo)) {
        through = upTo
        return false
      }
      through = position
      const { type } = event.event ?? record
      if (log.isHandedOut(record) && (types === undefined || types.has(type))) {
        events.push(event)
        positions.push(position)
        typesOf.push(type)
        appendTimesMs.push(appendedAtMs(event))
      }
      return events.length < limit && order.compare(position, upTo) < 0
    },
  )
  if (through === undefined) {
    await requireTruncated(log, after, upTo, limits)
    through = upTo
  }
  return { events, positions, types: typesOf, appendTimesMs, through }
}

/** The log is empty where events were: its owner has truncated it, or the read ended early. */
async function requireTruncated<P>(
  log: EventLog<P>,
  after: P | undefined,
  upTo: P,
  limits: CallLimits,
): Promise<void> {
  if (await log.isTruncated(upTo, limits)) return
  const { format } = log.order
  throw new EsdbReadEndedEarlyError(
    log.title,
    after === undefined ? 'the start' : format(after),
    format(upTo),
  )
}
