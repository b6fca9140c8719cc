import { denseOrder, LateEventsError, passedLateEvents, type StoredProgress } from '@tidemark/core'
import type { KnownBackends } from './backends.ts'
import { quoteIdentifier } from './identifiers.ts'
import type { InspectedRelation, Inspection } from './inspection.ts'
import { noPlaceholderSql } from './late-events.ts'
import { readProvenRows } from './load.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { isSeen, type Snapshot } from './snapshot.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** A partition or inheriting table whose rows were not looked at where they lie at or below `upTo`. */
export interface Attached {
  readonly member: InspectedRelation
  readonly upTo: bigint
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
 * it, from the default partition as a rule: their numbers were taken, and seen, before.
 */
export async function requireNothingPassed(
  options: Options,
  backends: KnownBackends,
  incarnation: string,
  attached: readonly Attached[],
  detached: DetachedMembers,
  { progress, toDecide }: { progress: () => Promise<readonly StoredProgress<bigint>[]>; toDecide: string },
  signal: AbortSignal,
): Promise<void> {
  for (const { member, upTo } of attached) {
    const rows = await readRows(options, backends, incarnation, member, upTo, signal)
    const [newest] = rows
    if (newest === undefined || newest.writtenBy === member.attachedBy) continue
    const handledUpTo = detached.get(member.oid)
    if (handledUpTo !== undefined && newest.position <= handledUpTo) continue
    throw lateError(options, member, rows, await progress(), toDecide)
  }
}

interface Row {
  readonly position: bigint
  readonly type: string | undefined
  readonly writtenBy: string
}

const MOST_ROWS = 100
/** Looked through where a partition may not be read by itself. */
const MOST_LOOKED_THROUGH = 100_000

async function readRows(
  options: Options,
  backends: KnownBackends,
  incarnation: string,
  member: InspectedRelation,
  upTo: bigint,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  const { sql, eventType } = options
  const type = eventType === undefined ? 'null' : `e.${quoteIdentifier(eventType)}::text`
  const select = `select e.${sql.position}::text as position, ${type} as type, e.xmin::text as "writtenBy"`
  const upToThere = `where e.${sql.position} <= ${upTo} ${noPlaceholderSql(options)} order by e.${sql.position} desc`
  const { rows } = await readProvenRows(
    options,
    backends,
    incarnation,
    member.mayRead
      ? `${select} from ${member.name} e ${upToThere} limit ${MOST_ROWS}`
      : `select * from (
          ${select}, e.tableoid from ${sql.table} e ${upToThere} limit ${MOST_LOOKED_THROUGH}
        ) newest where tableoid = ${member.oid}::oid limit ${MOST_ROWS}`,
    signal,
  )
  return rows.map((row) => ({
    position: BigInt(String(row.position)),
    type: typeof row.type === 'string' ? row.type : undefined,
    writtenBy: String(row.writtenBy),
  }))
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
      `nothing is lost. ${toDecide}`,
  )
}
