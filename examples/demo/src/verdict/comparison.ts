import type pg from 'pg'
import { PROJECTION_NAMES, type ProjectionName, REFUND_TYPES } from '../projections.ts'

/** What was committed, as the event table has it. */
export interface Committed {
  readonly appended: number
  /** Numbers handed out that no event has: rolled back in one way or another. */
  readonly rolledBack: number
}

/** What the tables of a projection have of it. */
export interface Compared {
  readonly name: ProjectionName
  /** Rows in its table. */
  readonly handled: number
  /** Committed events (of its types) that it has no row for. */
  readonly lost: number
  /** Rows beyond the first for the same position. */
  readonly duplicated: number
  /** Rows whose position is lower than one handled before. */
  readonly outOfOrder: number
}

type Counts<K extends string> = Readonly<Record<K, string>>

export async function countCommitted(pool: pg.Pool, schema: string): Promise<Committed> {
  const { rows } = await pool.query<Counts<'appended' | 'handedOut'>>(
    `select (select count(*) from ${schema}.events) as appended,
       coalesce(pg_sequence_last_value(pg_get_serial_sequence('${schema}.events', 'position')::regclass), 0)
         as "handedOut"`,
  )
  const appended = Number(rows[0]?.appended)
  return { appended, rolledBack: Number(rows[0]?.handedOut) - appended }
}

export async function compareProjections(pool: pg.Pool, schema: string): Promise<readonly Compared[]> {
  return await Promise.all(PROJECTION_NAMES.map((name) => compare(pool, schema, name)))
}

async function compare(pool: pg.Pool, schema: string, name: ProjectionName): Promise<Compared> {
  const handled = `${schema}.${name}`
  const { rows } = await pool.query<Counts<'handled' | 'lost' | 'duplicated' | 'outOfOrder'>>(
    `select count(*) as handled,
       count(*) - count(distinct position) as duplicated,
       count(*) filter (where position < highest_before) as "outOfOrder",
       (select count(*) from ${schema}.events e
         where ($1::text[] is null or e.type = any ($1))
           and not exists (select from ${handled} h where h.position = e.position)) as lost
     from (
       select position,
         max(position) over (order by row_number rows between unbounded preceding and 1 preceding) as highest_before
       from ${handled}
     ) as in_order`,
    [name === 'refunds' ? REFUND_TYPES : null],
  )
  const counts = rows[0]
  return {
    name,
    handled: Number(counts?.handled),
    lost: Number(counts?.lost),
    duplicated: Number(counts?.duplicated),
    outOfOrder: Number(counts?.outOfOrder),
  }
}
