import { setTimeout as sleep } from 'node:timers/promises'
import { withConnection } from '../client.ts'
import { quoteIdentifier, quoteTexts } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { transact } from '../transaction.ts'
import { InversionCounts, type Inversions } from './inversions.ts'
import { MissingPositions } from './missing-positions.ts'
import type { ResolvedAuditOptions } from './options.ts'

/** What was seen of new events while they were committed. */
export interface Live {
  readonly lookedForMs: number
  readonly looks: number
  /** A position that came and was passed between two looks was not seen missing. */
  readonly longestPauseMs: number
  /** Delays are lower bounds: from the first look that missed the event to the last one. */
  readonly inversions: Inversions
  /** Rolled back, or still open: they were missing to the end. */
  readonly stillMissing: number
  /** Positions that were not followed, since too many were missing at once. */
  readonly notFollowed: bigint
}

export interface LiveRequest {
  readonly forMs: number
  /** Ascending, 0 first. */
  readonly waitsMs: readonly number[]
  readonly onProgress?: ResolvedAuditOptions['onProgress']
  readonly signal: AbortSignal
}

type Events = Pick<ResolvedPostgresEventsOptions<unknown>, 'pool' | 'sql' | 'eventType' | 'placeholderTypes'>

/** The pause after a quick look. After a slow one it is longer, so that looks take a fifth of a connection's time. */
const PAUSE_MS = 20
const PAUSE_SHARE = 4
/** Below the newest position at the beginning: numbers that were taken shortly before may still come. */
const LOOK_BACK = 1_000n
const MOST_ROWS = 10_000

/** Watches which positions are missing when a higher one is visible, and how long it takes until they come. */
export async function watchLive(
  events: Events,
  { forMs, waitsMs, onProgress, signal }: LiveRequest,
): Promise<Live> {
  const { position, table } = events.sql
  const ask = async (sql: string): Promise<readonly bigint[]> => {
    const [answer] = await withConnection(events.pool, signal, (client) => transact(client, sql))
    return (answer?.rows ?? []).map((row) => BigInt(String(row.position)))
  }
  const [from] = await ask(
    `select greatest(lowest - 1, highest - ${LOOK_BACK})::text as position
     from (select (select min(${position}) from ${table})::bigint as lowest,
       (select max(${position}) from ${table})::bigint as highest) ends
     where lowest is not null`,
  )
  const positions = new MissingPositions(from)
  const inversions = new InversionCounts(waitsMs)
  const startedMs = performance.now()
  let looks = 0
  let longestPauseMs = 0
  let lastSentMs = startedMs
  for (;;) {
    const sentMs = performance.now()
    const visible = await ask(lookSql(events, positions))
    const answeredMs = performance.now()
    longestPauseMs = Math.max(longestPauseMs, sentMs - lastSentMs)
    lastSentMs = sentMs
    looks++
    for (const { position, passedBy, missingMs } of positions.take({ sentMs, answeredMs, visible })) {
      // It was missing for longer than that.
      inversions.add(String(position), missingMs * 1_000 + 1, String(passedBy))
    }
    onProgress?.({ part: 'live', watchedForMs: answeredMs - startedMs, ofMs: forMs })
    if (answeredMs - startedMs >= forMs) break
    await sleep(Math.max(PAUSE_MS, (answeredMs - sentMs) * PAUSE_SHARE), undefined, { signal })
  }
  inversions.events = positions.events
  return {
    lookedForMs: performance.now() - startedMs,
    looks,
    longestPauseMs,
    inversions: inversions.result(),
    stillMissing: positions.missing.length,
    notFollowed: positions.notFollowed,
  }
}

/** One statement, and so one snapshot. */
function lookSql(
  { sql: { table, position }, eventType, placeholderTypes }: Events,
  { highest, missing }: MissingPositions,
): string {
  const isEvent =
    eventType === undefined
      ? ''
      : `and e.${quoteIdentifier(eventType)}::text <> all (${quoteTexts(placeholderTypes)})`
  const asked = `select e.${position} as position from ${table} e where e.${position}`
  const again =
    missing.length === 0 ? '' : `union all ${asked} = any (array[${missing.join(', ')}]::bigint[]) ${isEvent}`
  const above = highest === undefined ? 'is not null' : `> ${highest}`
  return `select position::text from (
      (${asked} ${above} ${isEvent} order by e.${position} limit ${MOST_ROWS}) ${again}
    ) seen order by seen.position`
}
