import type pg from 'pg'

/** The query of docs/watch.md: what Emmett 0.42 has lost, by the order in which it reads. */
export async function namedByTheQuery(pool: pg.Pool): Promise<readonly number[]> {
  const { rows } = await pool.query<{ position: string }>(`
    select global_position::text as position
    from (
      select *, max(global_position) over (
        order by transaction_id, global_position rows between unbounded preceding and 1 preceding
      ) as furthest
      from emt_messages
      where partition = 'emt:default' and not is_archived
    ) message
    where global_position < furthest
    order by global_position`)
  return rows.map(({ position }) => Number(position))
}
