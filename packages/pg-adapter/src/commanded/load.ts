import type { LoadRequest, Page } from '@tidemark/core/adapter'
import { quoteTexts } from '../identifiers.ts'
import { readProvenRows } from '../proof/proven-rows.ts'
import type { KnownBackends } from '../server/backends.ts'
import { hidden } from './high-water.ts'
import type { ResolvedCommandedEventsOptions } from './options.ts'

/** An event of the stream `$all`. The other columns are as node-postgres parses them. */
export interface CommandedEvent {
  /** Its version in `$all`. */
  readonly position: bigint
  readonly event_id: string
  readonly event_type: string
  /** The stream that it was appended to, and its version there. */
  readonly stream_uuid: string
  readonly stream_version: string
  readonly causation_id: string | null
  readonly correlation_id: string | null
  readonly data: unknown
  readonly metadata: unknown
  readonly created_at: unknown
}

/** So many positions a page looks through at most: few of them may have an event of a type that is asked for. */
const MOST_POSITIONS = 10_000n

/** A page, read on a backend of the poll's run of the server. */
export async function loadCommanded(
  options: ResolvedCommandedEventsOptions,
  backends: KnownBackends,
  request: LoadRequest<bigint>,
): Promise<Page<bigint, CommandedEvent>> {
  const after = request.from === undefined ? (request.after ?? 0n) : request.from - 1n
  const end = after + MOST_POSITIONS
  const upTo = request.upTo < end ? request.upTo : end
  const { rows, bytes } = await readProvenRows(
    options,
    backends,
    request.evidence.incarnation,
    pageSql(options, { ...request, after, upTo }),
    request.signal,
  )
  if (rows.some(({ isHidden }) => isHidden === 'true')) throw hidden(options)
  const events = rows.map(
    ({ isHidden: _, position, ...row }) => ({ position: BigInt(String(position)), ...row }) as CommandedEvent,
  )
  const positions = events.map(({ position }) => position)
  const last = positions.at(-1)
  return {
    events,
    positions,
    types: events.map((event) => event.event_type),
    bytes,
    through: last !== undefined && events.length >= request.limit ? last : upTo,
  }
}

/** Each position refers to an event and a stream. So what a join does not find was hidden, perhaps since the newest poll. */
function pageSql(
  { sql }: ResolvedCommandedEventsOptions,
  { after, upTo, limit, eventTypes }: LoadRequest<bigint> & { readonly after: bigint },
): string {
  const { events, streams, table, position } = sql
  const ofTypes =
    eventTypes === undefined
      ? ''
      : `and (e.event_id is null or e.event_type = any (${quoteTexts(eventTypes)}))`
  return `select p.${position}::text as position, e.event_id::text, e.event_type, s.stream_uuid,
      p.original_stream_version::text as stream_version, e.causation_id::text, e.correlation_id::text,
      e.data, e.metadata, e.created_at, (e.event_id is null or s.stream_id is null)::text as "isHidden"
    from ${table} p left join ${events} e on e.event_id = p.event_id
    left join ${streams} s on s.stream_id = p.original_stream_id
    where p.stream_id = 0 and p.${position} > ${after} and p.${position} <= ${upTo} ${ofTypes}
    order by p.${position} limit ${limit}`
}
