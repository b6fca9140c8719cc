import { withConnection } from '../client.ts'
import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { requireTable } from '../proof/conditions.ts'
import { inspect } from '../proof/inspection.ts'
import { withTableSchema } from '../proof/table-schema.ts'
import { transact } from '../transaction.ts'
import type { ResolvedAuditOptions } from './options.ts'

/** What an audit has to know of table and server before it reads a row. */
export interface Standing {
  readonly events: ResolvedPostgresEventsOptions<unknown>
  readonly hasTimestamps: boolean
  /** The next transaction id that the server will hand out. */
  readonly nextTransaction: number
  readonly hasIndex: boolean
  /** How many rows were updated, as far as the server's statistics go back. */
  readonly updates: bigint
  /** `undefined`: its statistics were never reset. */
  readonly updatesSince: Date | undefined
}

export async function readStanding({ events, insertedBy, signal }: ResolvedAuditOptions): Promise<Standing> {
  const located = await withTableSchema(events, signal)
  const inspection = await inspect(located, signal)
  if (insertedBy !== undefined && inspection.missingColumns.includes(insertedBy)) {
    throw new PostgresConditionError(
      'columns_exist',
      `${located.sql.table} has no column ${quoteIdentifier(insertedBy)}, which the option insertedBy names, case included`,
    )
  }
  requireTable(inspection, located)
  const members = inspection.relations.map(({ oid }) => `${oid}::oid`).join(', ')
  const [seen] = await withConnection(located.pool, signal, (client) =>
    transact(
      client,
      `select current_setting('track_commit_timestamp') as tracked,
        pg_snapshot_xmax(pg_current_snapshot())::text as next,
        (select coalesce(sum(n_tup_upd), 0)::text from pg_stat_all_tables where relid in (${members})) as updates,
        (select (date_part('epoch', stats_reset) * 1000)::text from pg_stat_database
          where datname = current_database()) as since`,
    ),
  )
  const row = seen?.rows[0] ?? {}
  return {
    events: located,
    hasTimestamps: row.tracked === 'on',
    nextTransaction: Number(row.next),
    hasIndex: inspection.hasIndex,
    updates: BigInt(String(row.updates)),
    updatesSince: typeof row.since === 'string' ? new Date(Number(row.since)) : undefined,
  }
}
