import { type HighWaterReading, type HighWaterRequest, isReached } from '@tidemark/core/adapter'
import { type EsdbRecord, originalRecord } from './client.ts'
import type { EventLog } from './event-log.ts'
import { type CallLimits, readEach } from './read.ts'
import { confirmNewest, furthest, type KnownPosition } from './rewind.ts'

/** Positions are not handed out twice, whichever node answers. If the log went back: see rewind.ts. */
export const INCARNATION = 'log'

/**
 * How many records of the system and of checkpoints one poll looks through for the last one that is news, read by read: a
 * checkpoint or two are the usual case, and each read is read to its end. Behind more than all of them the mark is the
 * last record, whatever it is: a projection then looks at them for nothing, and that is all.
 */
const LOOK_BACK = [16, 64, 256, 1_024, 2_736]

interface Memory<P> {
  /** The last record of the last poll, news or not. */
  readonly newest: P | undefined
}

/**
 * One poll: the last event, read backwards. A log of one writer shows only what is committed, in order, so there are no
 * gaps: head, settled and mark are the same. A store is idle if only records that are not news are appended.
 */
export async function readHighWater<P>(
  log: EventLog<P>,
  timeoutMs: number,
  { previous, stored, signal }: HighWaterRequest<P>,
): Promise<HighWaterReading<P>> {
  const limits = { timeoutMs, signal }
  const known = previous === undefined ? furthest(log.order, stored ?? []) : markOf(previous)
  let newest = await readNewest(log, limits)
  if (known && !isReached(log.order, known.position, newest && log.positionOf(newest))) {
    newest = await confirmNewest(log, known, () => readNewest(log, limits, { requiresLeader: true }), limits)
  }
  const since = (previous?.memory as Memory<P> | undefined)?.newest ?? known?.position
  const mark = (newest && (await lastNews(log, newest, since, limits))) ?? known?.position
  return {
    head: mark,
    settled: mark,
    mark,
    gaps: [],
    holders: [],
    provenEmpty: [],
    skipped: [],
    incarnation: INCARNATION,
    logPosition: undefined,
    memory: { newest: newest && log.positionOf(newest) } satisfies Memory<P>,
  }
}

function markOf<P>({ mark }: HighWaterReading<P>): KnownPosition<P> | undefined {
  return mark === undefined ? undefined : { position: mark, what: 'the mark' }
}

export async function readNewest<P>(
  log: EventLog<P>,
  limits: CallLimits,
  { requiresLeader }: { readonly requiresLeader: boolean } = { requiresLeader: false },
): Promise<EsdbRecord | undefined> {
  let newest: EsdbRecord | undefined
  await readEach(
    `the last event of ${log.title}`,
    () => log.readBackwards({ from: 'end', count: 1, requiresLeader }),
    limits,
    (event) => {
      newest = originalRecord(event)
      return true
    },
  )
  return newest
}

/**
 * The last position that is news, up to `newest` and above `since`. `undefined` when there is none. If the look back
 * ended above `since`, there may be some: then it is `newest`.
 */
async function lastNews<P>(
  log: EventLog<P>,
  newest: EsdbRecord,
  since: P | undefined,
  limits: CallLimits,
): Promise<P | undefined> {
  const head = log.positionOf(newest)
  if (log.isNews(newest)) return head
  if (isReached(log.order, head, since)) return undefined
  let oldest = head
  for (const count of LOOK_BACK) {
    let read = 0
    let reachesSince = false
    let news: P | undefined
    await readEach(
      `the last events of ${log.title}`,
      () => log.readBackwards({ from: oldest, count, requiresLeader: false }),
      limits,
      (event) => {
        read++
        const record = originalRecord(event)
        const position = log.positionOf(record)
        reachesSince = isReached(log.order, position, since)
        if (reachesSince) return false
        oldest = position
        if (log.isNews(record)) news = position
        return news === undefined
      },
    )
    if (news !== undefined) return news
    if (reachesSince) return undefined
    if (read < count) break
  }
  return since === undefined && (await isFirst(log, oldest, limits)) ? undefined : head
}

async function isFirst<P>(log: EventLog<P>, position: P, limits: CallLimits): Promise<boolean> {
  let first: P | undefined
  await readEach(
    `the first event of ${log.title}`,
    () => log.readForwards({ after: undefined, upTo: position, limit: 1 }),
    limits,
    (event) => {
      first = log.positionOf(originalRecord(event))
      return false
    },
  )
  return isReached(log.order, position, first)
}
