import { type ClockReading, SERVER_NOW_SQL } from '../append-time.ts'
import { type BoundedClient, withConnection } from '../client.ts'
import { PartitionsChangedError, PostgresConditionError } from '../errors.ts'
import { quoteLiteral, quoteTexts } from '../identifiers.ts'
import { tellBackend } from '../kept-statements.ts'
import { type Message, sendMeasured } from '../message.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import {
  INVALID_TEXT_REPRESENTATION,
  type KnownBackends,
  onKnownBackend,
  type Partitions,
  requireKnownSql,
} from '../server/backends.ts'
import { hasSaid } from '../sql-state.ts'
import type { Statement } from '../statement.ts'
import { locksSql, lockTableSql } from '../transaction.ts'
import { partitionsSql } from './fingerprint.ts'
import type { Inspection } from './inspection.ts'

type Row = Record<string, unknown>

/** A select that is sent again and again: its plan is kept by each connection. Or the text of one that is seldom sent. */
export type Select =
  | string
  | { readonly statement: Statement; readonly plans: Exclude<Message['plans'], 'made anew'> }

export interface Read {
  readonly rows: Row[]
  /** Which partitions there were; `undefined` where the table has none. */
  readonly partitions: string | undefined
  readonly clock: ClockReading
  /** What came over the network for it. */
  readonly bytes: number | undefined
}

/**
 * Fails on a backend that is not known to belong to the poll's incarnation: it is compared, then asked again. Where
 * partitions were attached meanwhile it is asked again on another connection: see `send` in `poll.ts`.
 */
export async function readProvenRows(
  options: Pick<ResolvedPostgresEventsOptions<unknown>, 'pool' | 'sql'>,
  backends: KnownBackends,
  incarnation: string,
  select: Select,
  signal: AbortSignal,
): Promise<Read> {
  for (let looks = 1; ; looks++) {
    try {
      return await withConnection(options.pool, signal, (client) =>
        onKnownBackend(client, backends, incarnation, (keys) =>
          readRows(
            client,
            options,
            select,
            (bind) => requireKnownSql(bind('text[]', quoteTexts(keys))),
            backends.partitions,
          ),
        ),
      )
    } catch (error) {
      if (!(error instanceof PartitionsChangedError) || looks >= MOST_LOOKS) throw error
    }
  }
}

const MOST_LOOKS = 4

/** What fails as a cast. It is never folded: it hangs on the backend's pid. */
const ROWS_HIDDEN = 'tidemark: row security hides rows from backend '

/**
 * Fails where rows of the table are hidden. That is a statement of its own, since PostgreSQL asks for no part of one that
 * it can prove to be empty, as of partitions that do not exist. It comes last: the lock that the first one holds keeps
 * row security as it was. That lock is also why what is EXECUTEd is right: it takes its snapshot before its locks, and has them.
 */
export async function readRows(
  client: BoundedClient,
  { sql: { table } }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  select: Select,
  otherwise: Statement,
  partitions: Partitions,
): Promise<Read> {
  const hasPartitions = partitions !== 'none'
  const partitionsAre = `${partitionsSql(`to_regclass(${quoteLiteral(table)})::oid`)} as partitions`
  const check: Statement = (bind) => `select case when row_security_active(${quoteLiteral(table)})
        then ('${ROWS_HIDDEN}' || pg_backend_pid())::boolean else ${hasPartitions ? 'true' : otherwise(bind)} end, ${SERVER_NOW_SQL} as now,
        pg_backend_pid()::text as pid ${hasPartitions ? `, ${partitionsAre}` : ''}`
  try {
    const { results, sentAtMs, answeredAtMs, bytes } = await sendMeasured(
      client,
      messageOf(select, check, partitions, [
        () => lockTableSql(table),
        (bind) => `select ${otherwise(bind)}, ${partitionsAre}`,
      ]),
    )
    const [before, _locked, read, checked] = results.slice(-5)
    if (hasPartitions && before?.rows[0]?.partitions !== checked?.rows[0]?.partitions) {
      throw new PartitionsChangedError(table)
    }
    tellBackend(client, String(checked?.rows[0]?.pid))
    const serverMs = Number(checked?.rows[0]?.now)
    const partitionsNow = checked?.rows[0]?.partitions
    return {
      rows: read?.rows ?? [],
      partitions: typeof partitionsNow === 'string' ? partitionsNow : undefined,
      clock: { sentAtMs, serverMs, answeredAtMs },
      bytes,
    }
  } catch (error) {
    if (!hasSaid(error, INVALID_TEXT_REPRESENTATION, ROWS_HIDDEN)) throw error
    throw new PostgresConditionError(
      'row_security',
      `row security was switched on for ${table} and hides rows from this role; nothing was passed`,
      { cause: error },
    )
  }
}

/**
 * Of a table with partitions: first the lock of the table alone, then which partitions there are, then the locks of all that is
 * read. A plan that is kept is made anew by PostgreSQL where partitions have changed before these locks are held.
 *
 * A backend that is not known fails before these locks, for which it makes its list of the partitions. It is asked again, on the same
 * connection; and nobody would have looked whether one was attached while it made that list.
 */
function messageOf(
  select: Select,
  check: Statement,
  partitions: Partitions,
  lookAtPartitions: readonly Statement[],
): Message {
  const statement: Statement = typeof select === 'string' ? () => select : select.statement
  const locks: Statement = (bind) => locksSql(statement(bind))
  const first = partitions === 'none' ? [] : lookAtPartitions
  const plans = typeof select === 'string' ? 'made anew' : plansOf(select.plans, partitions)
  return { transactions: [[...first, locks, statement, check]], plans }
}

/** Left to itself, PostgreSQL would plan what reads many partitions anew each time. */
function plansOf(plans: Message['plans'], partitions: Partitions): Message['plans'] {
  return partitions === 'none' || (plans === 'kept' && partitions === 'plans kept') ? plans : 'made anew'
}

/**
 * By one message a backend is told of a partition that was attached to a table: it forgets its list of the partitions, and the
 * plans that rest on it, also one that it is in the middle of making. So a plan that is kept knows the partitions that one
 * would know that is made anew. It would not forget a plan in the making for a partition of a partition. And where the position
 * says which partitions are read, one plan for all values would lock them all.
 */
export function partitionsOf({
  relations,
  tableOid,
  mayBeReadInPart,
}: Pick<Inspection, 'relations' | 'tableOid' | 'mayBeReadInPart'>): Partitions {
  if (relations.length === 1) return 'none'
  const areAllOfTable = relations.every(({ parent }) => parent === undefined || parent === tableOid)
  return areAllOfTable && !mayBeReadInPart ? 'plans kept' : 'plans made anew'
}

/** The last visible position up to `settled`: one look at the index, on a known backend. */
export async function lookUpMark(
  options: ResolvedPostgresEventsOptions<unknown>,
  backends: KnownBackends,
  incarnation: string,
  settled: bigint,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  const { table, position } = options.sql
  const sql = `select ${position}::text as mark from ${table}
    where ${position} <= ${settled} order by ${position} desc limit 1`
  const { rows } = await readProvenRows(options, backends, incarnation, sql, signal)
  const [row] = rows
  return typeof row?.mark === 'string' ? BigInt(row.mark) : undefined
}
