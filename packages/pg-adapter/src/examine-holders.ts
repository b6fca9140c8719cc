import type { Holder } from '@tidemark/core/adapter'
import { requireKnownOptions } from '@tidemark/core/adapter'
import { integerSql } from './checkpoint-tables.ts'
import { withConnection } from './client.ts'
import { quoteLiteral, quoteTexts } from './identifiers.ts'
import type { PostgresEventsOptions } from './options.ts'
import { requirePool, resolveQueryTimeout } from './pool-options.ts'
import { boundedPool } from './query-timeout.ts'
import { transact } from './transaction.ts'

export interface ExamineHoldersOptions extends Pick<PostgresEventsOptions, 'pool' | 'queryTimeoutMs'> {
  /** As a reading of the mark has them (`HighWaterReading.holders`). */
  readonly holders: readonly Holder[]
  /**
   * Stops it. The call then rejects with the signal's reason.
   * - Change it when: somebody may not want to wait for the answer.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** A holder, with what the server shows of it now. What this role may not see, or of one that has ended, is `undefined`. */
export interface ExaminedHolder extends Holder {
  /** The role that it is connected as. */
  readonly role: string | undefined
  /** Where it is connected from; `undefined` too where that is the server's own machine, by a socket. */
  readonly address: string | undefined
  /** As in `pg_stat_activity`: `active`, `idle in transaction`, ...; `prepared` of a prepared transaction. */
  readonly state: string | undefined
  /** For how long its transaction has been open, by the server's clock. */
  readonly openForMs: number | undefined
  /** What it waits for, as `Lock: transactionid`. */
  readonly waitsFor: string | undefined
  /** Processes of the server that it waits for. */
  readonly blockedBy: readonly number[]
  /** The beginning of its last statement. */
  readonly lastStatement: string | undefined
  /** The name under which it is prepared. */
  readonly gid: string | undefined
  /** SQL that ends it; what it has not committed is rolled back. `undefined`: it is prepared under a name that cannot be seen. */
  readonly endedBy: string | undefined
}

const LONGEST_STATEMENT = 200

/** What is to be known of those who hold up a mark before somebody ends them. It only reads. */
export async function examineHolders(options: ExamineHoldersOptions): Promise<readonly ExaminedHolder[]> {
  requireKnownOptions(options, EXAMINE_HOLDERS_OPTIONS)
  const { pool, holders, signal = new AbortController().signal } = options
  requirePool(pool)
  if (holders.length === 0) return []
  const bounded = boundedPool(pool, resolveQueryTimeout(options.queryTimeoutMs))
  const results = await withConnection(bounded, signal, (client) => transact(client, examinedSql(holders)))
  const found = results.flatMap(({ rows }) => rows)
  const sessions = parse<Session>(found, 'sessions')
  const prepared = parse<Prepared>(found, 'prepared')
  return holders.map((holder) =>
    holder.pid === undefined
      ? ofPrepared(
          holder,
          prepared.find(({ transaction }) => transaction === holder.transaction),
        )
      : ofSession(
          holder,
          holder.pid,
          sessions.find(({ pid }) => pid === holder.pid),
        ),
  )
}

const EXAMINE_HOLDERS_OPTIONS: Readonly<Record<keyof ExamineHoldersOptions, true>> = {
  pool: true,
  queryTimeoutMs: true,
  holders: true,
  signal: true,
}

interface Session {
  readonly pid: number
  readonly role: string | null
  readonly address: string | null
  readonly state: string | null
  readonly ms: number | null
  readonly waits: string | null
  readonly blockedBy: readonly number[]
  readonly statement: string | null
}

interface Prepared {
  readonly transaction: string
  readonly role: string
  readonly gid: string
  readonly ms: number
}

/**
 * That the row `x` of `pg_locks` is one of the prepared transaction `p`. What a prepared transaction shows as there is told there
 * alone: it changes when the server is started again.
 */
export const IS_OF_PREPARED_SQL: string =
  "x.pid is null and x.locktype = 'transactionid' and x.transactionid = p.transaction"

function examinedSql(holders: readonly Holder[]): string {
  const pids = holders.flatMap(({ pid }) => (pid === undefined ? [] : integerSql(pid)))
  const prepared = holders.flatMap(({ pid, transaction }) => (pid === undefined ? transaction : []))
  return `select coalesce(json_agg(json_build_object('pid', a.pid, 'role', a.usename, 'address', host(a.client_addr),
        'state', a.state, 'ms', extract(epoch from clock_timestamp() - a.xact_start) * 1000,
        'waits', nullif(concat_ws(': ', a.wait_event_type, a.wait_event), ''),
        'blockedBy', pg_blocking_pids(a.pid), 'statement', left(a.query, ${LONGEST_STATEMENT}))), '[]')::text as sessions
      from pg_stat_activity a where a.pid = any (array[${pids.join(', ')}]::int[]);
    select coalesce(json_agg(json_build_object('transaction', x.virtualtransaction, 'role', p.owner, 'gid', p.gid,
        'ms', extract(epoch from clock_timestamp() - p.prepared) * 1000)), '[]')::text as prepared
      from pg_prepared_xacts p
      join pg_locks x on ${IS_OF_PREPARED_SQL}
      where x.virtualtransaction = any (${quoteTexts(prepared)})`
}

function parse<T>(rows: readonly Readonly<Record<string, unknown>>[], column: string): readonly T[] {
  const text = rows.find((row) => typeof row[column] === 'string')?.[column]
  return text === undefined ? [] : (JSON.parse(String(text)) as readonly T[])
}

function ofSession(holder: Holder, pid: number, session: Session | undefined): ExaminedHolder {
  return {
    ...holder,
    role: session?.role ?? undefined,
    address: session?.address ?? undefined,
    state: session?.state ?? undefined,
    openForMs: rounded(session?.ms),
    waitsFor: session?.waits ?? undefined,
    blockedBy: session?.blockedBy ?? [],
    lastStatement: session?.state == null ? undefined : (session.statement ?? undefined),
    gid: undefined,
    endedBy: `select pg_terminate_backend(${pid});`,
  }
}

function ofPrepared(holder: Holder, prepared: Prepared | undefined): ExaminedHolder {
  return {
    ...holder,
    role: prepared?.role,
    address: undefined,
    state: 'prepared',
    openForMs: rounded(prepared?.ms),
    waitsFor: undefined,
    blockedBy: [],
    lastStatement: undefined,
    gid: prepared?.gid,
    endedBy: prepared && `rollback prepared ${quoteLiteral(prepared.gid)};`,
  }
}

const rounded = (ms: number | null | undefined): number | undefined =>
  ms === null || ms === undefined ? undefined : Math.round(ms)
