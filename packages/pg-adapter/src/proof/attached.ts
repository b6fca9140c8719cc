import { denseOrder, LateEventsError, passedLateEvents, type StoredProgress } from '@tidemark/core/adapter'
import { quoteIdentifier, quoteTexts } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { KnownBackends } from '../server/backends.ts'
import { isSeen, type Snapshot } from '../server/snapshot.ts'
import { eventRowsSql } from './event-rows.ts'
import type { InspectedRelation, Inspection } from './inspection.ts'
import { readProvenRows } from './proven-rows.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** A partition or inheriting table whose rows were not looked at where they lie at or below `upTo`. */
export interface Attached {
  readonly member: InspectedRelation
  readonly upTo: bigint
  /** The transactions that attached it, and what it was attached with. */
  readonly attachedBy: ReadonlySet<string>
}

/** Those members, with how far each is to be looked through. */
export function attachedUpTo(members: readonly InspectedRelation[], upTo: bigint): readonly Attached[] {
  const byOid = new Map(members.map((member) => [member.oid, member]))
  return members.map((member) => {
    const attachedBy = new Set<string>()
    for (let link: typeof member | undefined = member; link; link = byOid.get(link.parent ?? '')) {
      if (link.attachedBy !== undefined) attachedBy.add(link.attachedBy)
    }
    return { member, upTo, attachedBy }
  })
}

/** A member that is gone, or was attached anew: up to where it had been handled by every projection. */
export type DetachedMembers = ReadonlyMap<string, bigint | undefined>

/** Members of now that were not members before, or were attached anew since. */
export function attachedSince(before: Inspection, now: Inspection): readonly InspectedRelation[] {
  if (before === now) return []
  const known = new Set(before.relations.map(memberKey))
  return now.relations.filter(
    (relation) => relation.attachedBy !== undefined && !known.has(memberKey(relation)),
  )
}

/** The same, by what a stored checkpoint's poll could see. */
export function attachedAfter(
  seen: Snapshot,
  { relations }: Inspection,
  now: bigint,
): readonly InspectedRelation[] {
  return relations.filter(({ attachedBy }) => attachedBy !== undefined && !isSeen(seen, attachedBy, now))
}

/** With those that have gone since. Of one that comes back unchanged, what had been handled before is no late event. */
export function detachedSince(
  detached: DetachedMembers,
  before: Inspection,
  now: Inspection,
  projected: bigint | undefined,
): DetachedMembers {
  if (before === now) return detached
  const present = new Set(now.relations.map(memberKey))
  const gone = before.relations.filter((relation) => !present.has(memberKey(relation)))
  return gone.length === 0
    ? detached
    : new Map([...detached, ...gone.map(({ oid }) => [oid, projected] as const)])
}

function memberKey({ oid, attachedBy }: InspectedRelation): string {
  return `${oid}:${attachedBy}`
}

/**
 * Throws where one of them brings events that were passed. Rows that the attaching transaction has written were moved by
 * it, from the default partition as a rule: their numbers were taken, and seen, before. What was updated behind it says
 * nothing; beside moved rows, only older ones are evidence.
 */
export async function requireNothingPassed(
  options: Options,
  backends: KnownBackends,
  incarnation: string,
  attached: readonly Attached[],
  detached: DetachedMembers,
  { progress, toDecide }: { progress: () => readonly StoredProgress<bigint>[]; toDecide: string },
  signal: AbortSignal,
): Promise<void> {
  for (const found of attached) {
    const above = detached.get(found.member.oid)
    const read = async (isOlderThan: readonly string[] = []): Promise<readonly Row[]> => {
      const sql = rowsSql(options, found, above, isOlderThan)
      return (await readProvenRows(options, backends, incarnation, sql, signal)).rows.map(toRow)
    }
    const newest = await read()
    const isMoved = newest.some(({ writtenBy }) => found.attachedBy.has(writtenBy))
    const late = isMoved ? await read([...found.attachedBy]) : newest
    if (late.length > 0) throw lateError(options, found.member, late, progress(), toDecide)
  }
}

interface Row {
  readonly position: bigint
  readonly type: string | undefined
  readonly writtenBy: string
}

const MOST_ROWS = 100
/** Looked through, where not every row there is one that is looked for. */
const MOST_LOOKED_THROUGH = 100_000

/** @param olderThan - only rows of transactions that are older than one of these, and none of them */
function rowsSql(
  { sql, eventType, placeholderTypes, where }: Options,
  { member, upTo }: Attached,
  above: bigint | undefined,
  olderThan: readonly string[],
): string {
  const type = eventType === undefined ? 'null' : `e.${quoteIdentifier(eventType)}::text`
  const conditions = [
    member.mayRead ? undefined : `oid = ${member.oid}::oid`,
    olderThan.length === 0
      ? undefined
      : `"writtenBy" <> all (${quoteTexts(olderThan)}) and age("writtenBy"::xid) > any (array[${olderThan.map((xid) => `age('${xid}'::xid)`).join(', ')}])`,
  ].filter((condition) => condition !== undefined)
  return `select * from (
      select e.${sql.position}::text as position, ${type} as type, e.xmin::text as "writtenBy", e.tableoid as oid
      from ${member.mayRead ? member.name : sql.table} e
      where e.${sql.position} <= ${upTo} ${above === undefined ? '' : `and e.${sql.position} > ${above}`}
        ${eventRowsSql({ eventType, placeholderTypes, where })}
      order by e.${sql.position} desc limit ${conditions.length === 0 ? MOST_ROWS : MOST_LOOKED_THROUGH}
    ) newest
    where ${conditions.length === 0 ? 'true' : conditions.join(' and ')} limit ${MOST_ROWS}`
}

function toRow(row: Record<string, unknown>): Row {
  return {
    position: BigInt(String(row.position)),
    type: typeof row.type === 'string' ? row.type : undefined,
    writtenBy: String(row.writtenBy),
  }
}

function lateError(
  options: Options,
  { name }: InspectedRelation,
  rows: readonly Row[],
  progress: readonly StoredProgress<bigint>[],
  toDecide: string,
): LateEventsError {
  const late = rows.toReversed()
  const more = rows.length === MOST_ROWS ? ', these and perhaps more below them' : ''
  return new LateEventsError(
    options.name,
    late.map(({ position, type }) => ({ position: position.toString(), type })),
    passedLateEvents(
      denseOrder,
      progress,
      late.map(({ position }) => position),
    ),
    `They are in ${name}${more}, which was attached to ${options.sql.table} when the mark had passed them: it was filled ` +
      'before, or it was detached while projections went on. If every projection had handled them before it was detached, ' +
      'or they were moved there from another partition (in a subtransaction, as pg_partman does, that cannot be told), ' +
      `nothing is lost. ${toDecide}`,
  )
}
