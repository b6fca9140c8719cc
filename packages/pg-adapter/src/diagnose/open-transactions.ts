import { type BoundedPool, withConnection } from '../client.ts'
import { IS_OF_PREPARED_SQL } from '../examine-holders.ts'
import { transact } from '../transaction.ts'
import type { Finding } from './finding.ts'

/** A transaction that is open now, for longer than a second. */
export interface OpenTransaction {
  /** `undefined`: it is prepared, and no process has it. */
  readonly pid: number | undefined
  readonly who: string
  readonly openForMs: number
  readonly isIdle: boolean
  readonly isInThisDatabase: boolean
  /** It has written something, or locked a row. */
  readonly hasTransactionId: boolean
  /** It has taken a number of the sequence of the events: its events may still come. */
  readonly holdsSequence: boolean
}

/** What readers of each kind do about one; pure. */
function whatReadersDo(of: OpenTransaction): string {
  if (of.holdsSequence) {
    return 'its events may still come: Tidemark waits for it, and so does a reader behind xmin (Emmett); a reader with a fixed wait loses those that come later than its wait'
  }
  const marten = of.isInThisDatabase ? '; Marten waits for it where a number died after it began' : ''
  if (of.hasTransactionId) return `Tidemark does not wait for it; a reader behind xmin (Emmett) does${marten}`
  return `neither Tidemark nor a reader behind xmin (Emmett) waits for it${marten}; vacuum keeps what it may still see`
}

const PREPARED_AS = `(select x.virtualtransaction from pg_locks x where ${IS_OF_PREPARED_SQL} limit 1)`
const MOST = 10
const LONG = "interval '1 second'"
const TOO_LONG_MS = 60_000

export async function readOpenTransactions(
  pool: BoundedPool,
  sequenceOid: string | undefined,
  signal: AbortSignal,
): Promise<readonly OpenTransaction[]> {
  const holds = (pid: string, prepared: string): string =>
    sequenceOid === undefined
      ? 'false'
      : `exists (select from pg_locks l where l.relation = ${sequenceOid}::oid and l.granted
          and l.database = (select oid from pg_database where datname = current_database())
          and l.mode = 'RowExclusiveLock' and (l.pid = ${pid} or l.virtualtransaction = ${prepared}))`
  const [answer] = await withConnection(pool, signal, (client) =>
    transact(
      client,
      `select coalesce(json_agg(row_to_json(o) order by o.started), '[]')::text as open from (
        select a.pid, concat_ws(' ', a.usename, nullif(a.application_name, '')) as who, a.xact_start as started,
          extract(epoch from clock_timestamp() - a.xact_start) * 1000 as ms, a.state like 'idle%' as idle,
          a.datname = current_database() as here, a.backend_xid is not null as xid, ${holds('a.pid', 'null')} as holds
        from pg_stat_activity a
        where a.pid <> pg_backend_pid() and a.backend_type = 'client backend' and a.xact_start < now() - ${LONG}
        union all
        select null, concat_ws(' ', p.owner, 'prepared as ' || p.gid), p.prepared,
          extract(epoch from clock_timestamp() - p.prepared) * 1000, true, p.database = current_database(), true,
          ${holds('null', PREPARED_AS)}
        from pg_prepared_xacts p
        where p.prepared < now() - ${LONG}
        order by 3 limit ${MOST}
      ) o`,
    ),
  )
  return (JSON.parse(String(answer?.rows[0]?.open)) as readonly Row[]).map((row) => ({
    pid: row.pid ?? undefined,
    who: row.who,
    openForMs: Math.round(row.ms),
    isIdle: row.idle ?? false,
    isInThisDatabase: row.here,
    hasTransactionId: row.xid,
    holdsSequence: row.holds,
  }))
}

interface Row {
  readonly pid: number | null
  readonly who: string
  readonly ms: number
  readonly idle: boolean | null
  readonly here: boolean
  readonly xid: boolean
  readonly holds: boolean
}

/** One finding each; pure. */
export function openTransactionFindings(open: readonly OpenTransaction[]): readonly Finding[] {
  if (open.length === 0) {
    const found = 'no transaction is open for longer than a second'
    return [{ code: 'open_transactions', severity: 'ok', about: 'server', found }]
  }
  return open.map((of) => {
    const isHeld = of.hasTransactionId || of.holdsSequence
    const isTooLong = isHeld && of.openForMs >= TOO_LONG_MS
    const whose = of.pid === undefined ? of.who : `${of.who} (process ${of.pid})`
    const state = of.pid === undefined ? '' : of.isIdle ? ', idle' : ', busy'
    return {
      code: 'open_transactions',
      severity: isTooLong ? 'warning' : 'note',
      about: 'server',
      found: `${whose} has a transaction open for ${Math.round(of.openForMs / 1_000)} s${state}: ${whatReadersDo(of)}`,
      ...(isTooLong
        ? { expected: 'no writing transaction is open for longer than a minute', toDo: endIt(of) }
        : {}),
    }
  })
}

function endIt({ pid, who }: OpenTransaction): string {
  return pid === undefined
    ? `End it with COMMIT PREPARED or ROLLBACK PREPARED: ${who}.`
    : `Find out what it is. To end it, run\n  SELECT pg_terminate_backend(${pid});`
}
