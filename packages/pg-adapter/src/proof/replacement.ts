import {
  type HighWaterReading,
  type StoredProgress,
  StoreRewoundError,
  unitName,
} from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { KnownBackends } from '../server/backends.ts'
import { type ParsedIncarnation, parseIncarnation } from '../server/incarnation.ts'
import { snapshotOf } from '../server/log-position.ts'
import { isSeen, type Snapshot } from '../server/snapshot.ts'
import type { InspectedPoll } from './inspected-poll.ts'
import { readProvenRows } from './proven-rows.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** "Everything up to here was seen, by a poll that could see this much of that table and sequence." */
export interface Claim {
  /** Who says so, for the message. */
  readonly of: string
  readonly position: bigint
  readonly seen: Snapshot
  readonly then: ParsedIncarnation
}

/** What was passed on: by this process in the incarnation before, and by whoever stored a checkpoint. */
export function claimsOf(
  progress: readonly StoredProgress<bigint>[],
  former: HighWaterReading<bigint> | undefined,
  incarnation: string,
): readonly Claim[] {
  const own = former && ownClaim(former, incarnation)
  const stored = progress.flatMap(({ unit, position, ...evidence }) => {
    if (unit === undefined || position === undefined) return []
    const of = `the checkpoint of "${unitName(unit)}"`
    // What this process has seen since is newer.
    if (own && position <= own.position) return [{ ...own, of, position }]
    const seen = snapshotOf(evidence.logPosition)
    const then = evidence.incarnation === undefined ? undefined : parseIncarnation(evidence.incarnation)
    return seen === undefined || then === undefined ? [] : [{ of, position, seen, then }]
  })
  return own ? [...stored, own] : stored
}

/** What this process passed on in another run of the server may have been taken back by its crash. */
function ownClaim(former: HighWaterReading<bigint>, incarnation: string): Claim | undefined {
  const then = parseIncarnation(former.incarnation)
  const seen = snapshotOf(former.logPosition)
  const isSameRun = then?.serverRun === parseIncarnation(incarnation)?.serverRun
  if (then === undefined || seen === undefined || former.mark === undefined || !isSameRun) return undefined
  return { of: 'the mark', position: former.mark, seen, then }
}

/** One of the newest events at or below a claim's position. */
interface ClaimedRow {
  /** The table or partition that it is in. */
  readonly tableOid: string
  readonly writtenBy: string
  /** The same transaction has altered a column of that table, and so written every row anew. */
  readonly isRewritten: boolean
}

/**
 * `same`: the events that were seen are still there. `empty`: nothing is visible there. `replaced`: others stand there.
 */
type Verdict = 'same' | 'empty' | 'replaced'

type Alteration = 'table' | 'sequence' | 'files'

/** What may have brought numbers back since, the strongest evidence first; `undefined`: nothing was touched. */
function alterationSince(
  { seen, then }: Pick<Claim, 'seen' | 'then'>,
  { inspection, sequence }: Pick<InspectedPoll, 'inspection' | 'sequence'>,
  now: bigint,
): Alteration | undefined {
  if (then.tableOid !== inspection.tableOid) return 'table'
  if (then.sequenceOid !== sequence.oid || then.sequenceFile !== sequence.relfilenode) return 'sequence'
  return inspection.relations.some(({ alteredBy }) => !isSeen(seen, alteredBy, now)) ? 'files' : undefined
}

/**
 * Whether the numbers up to a claim's position were handed out again. ALTER SEQUENCE and TRUNCATE RESTART IDENTITY both
 * give the sequence another file, ALTER COLUMN TYPE, VACUUM FULL and TRUNCATE the table: what tells them apart is whether
 * the rows are still those that were seen. VACUUM FULL and CLUSTER keep who wrote them.
 *
 * @param rows - the newest first
 */
function judge(
  alteration: Alteration,
  { seen, then }: Pick<Claim, 'seen' | 'then'>,
  rows: readonly ClaimedRow[],
  now: bigint,
): Verdict {
  const [newest] = rows
  if (newest === undefined) return 'empty'
  const wasSeen = (row: ClaimedRow): boolean => isSeen(seen, row.writtenBy, now)
  if (alteration === 'files') {
    // The sequence is the same: only a `setval` can have brought numbers back. A table that was copied by ALTER TABLE or a
    // tool has all of its rows from one transaction, or some from before.
    const isCopied = rows.every((row) => row.writtenBy === newest.writtenBy)
    return isCopied || rows.some(wasSeen) ? 'same' : 'replaced'
  }
  // The old table may live on as a partition of the new one.
  const isOfSameTable = alteration === 'sequence' || newest.tableOid === then.tableOid
  return isOfSameTable && (wasSeen(newest) || newest.isRewritten) ? 'same' : 'replaced'
}

/** Enough to tell a table that was copied from one that was filled again. */
const ROWS_OF_A_CLAIM = 50
/** Catalog rows may be newer than the snapshot that `now` is taken from. */
const LATER_TRANSACTIONS = 1_000_000n

/**
 * Throws where a claim no longer holds. Returns those that cannot be judged yet: nothing is visible up to their position,
 * and transactions that are still open may hold numbers that came back.
 */
export async function requireNotReplaced(
  options: Options,
  backends: KnownBackends,
  claims: readonly Claim[],
  found: InspectedPoll & { readonly incarnation: string },
  toDecide: string,
  signal: AbortSignal,
): Promise<readonly Claim[]> {
  const now = laterThan(found.poll.snapshot)
  const doubted = claims.flatMap((claim) => {
    const alteration = alterationSince(claim, found, now)
    return alteration === undefined ? [] : [{ claim, alteration }]
  })
  if (doubted.length === 0) return []
  const rows = await readClaimedRows(
    options,
    backends,
    found.incarnation,
    doubted.map(({ claim }) => claim.position),
    signal,
  )
  const pending: Claim[] = []
  for (const { claim, alteration } of doubted) {
    const verdict = judge(alteration, claim, rows.get(claim.position) ?? [], now)
    if (verdict === 'replaced') throw replaced(options, claim, alteration, found, toDecide)
    if (verdict === 'empty' && alteration !== 'files') pending.push(claim)
  }
  return found.poll.holders.length > 0 ? pending : []
}

/** A transaction id above every one that a row or the catalog can name by now. */
export function laterThan({ xmax }: Snapshot): bigint {
  return xmax + LATER_TRANSACTIONS
}

async function readClaimedRows(
  options: Options,
  backends: KnownBackends,
  incarnation: string,
  positions: readonly bigint[],
  signal: AbortSignal,
): Promise<ReadonlyMap<bigint, readonly ClaimedRow[]>> {
  const { table, position } = options.sql
  const distinct = [...new Set(positions)]
  const sql = `select claimed.position::text as claimed, e.* from unnest(array[${distinct.join(', ')}]::bigint[]) as claimed (position)
    cross join lateral (
      select r.tableoid::text as "tableOid", r.xmin::text as "writtenBy", exists (
          select from pg_attribute a where a.attrelid = r.tableoid and a.xmin = r.xmin
        )::text as "isRewritten"
      from ${table} r where r.${position} <= claimed.position order by r.${position} desc limit ${ROWS_OF_A_CLAIM}
    ) e`
  const { rows } = await readProvenRows(options, backends, incarnation, sql, signal)
  const byClaim = new Map<bigint, ClaimedRow[]>()
  for (const { claimed, tableOid, writtenBy, isRewritten } of rows) {
    const position = BigInt(String(claimed))
    const row = {
      tableOid: String(tableOid),
      writtenBy: String(writtenBy),
      isRewritten: isRewritten === 'true',
    }
    byClaim.set(position, [...(byClaim.get(position) ?? []), row])
  }
  return byClaim
}

function replaced(
  { sql: { table } }: Options,
  { of, position }: Claim,
  alteration: Alteration,
  { sequence }: InspectedPoll,
  toDecide: string,
): StoreRewoundError {
  const written = 'the newest event up to there was written afterwards'
  const what = {
    table: `${table} is another table than then: it was dropped and made again, or another one took its name`,
    sequence: `the sequence was replaced or restarted (now ${sequence.name}, file ${sequence.relfilenode}), and ${written}`,
    files: `${table} was emptied or rewritten, and ${written}`,
  }[alteration]
  return new StoreRewoundError(
    `${of} stands at ${position}, but the events up to there may be others than those that it has seen: ${what}. After ` +
      'TRUNCATE ... RESTART IDENTITY, a table made again or a sequence set back, numbers come back, and their events would ' +
      'be passed. If the same events were only copied (a restored dump, a new table) or changed in place (an UPDATE beside ' +
      `an ALTER SEQUENCE), nothing is lost. ${toDecide}`,
  )
}
