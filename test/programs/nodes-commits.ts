import { slotOf } from '@tidemark/core/adapter'
import type { PoolClient } from 'pg'
import { keyOf, type NodeProjection } from './nodes-projections.ts'

// Who has committed what: a row for each batch, in its own transaction, with what the row of its unit says there. That row is
// locked by then, so nobody else is given the unit before the commit.

export const COMMITS_TABLE = `create table commits (n bigserial, projection text not null, version int not null, slot_from int not null,
  slot_to int not null, fence bigint not null, owner text, process text not null, slots int[] not null)`

/** @param events - at least one */
export async function noteCommit(
  tx: PoolClient,
  { name, shards }: NodeProjection,
  version: number,
  events: readonly { readonly id: string }[],
): Promise<void> {
  const slots = shards === undefined ? [0] : [...new Set(events.map((event) => slotOf(keyOf(event))))]
  await tx.query(
    `insert into commits (projection, version, slot_from, slot_to, fence, owner, process, slots)
     select c.projection, c.version, c.slot_from, c.slot_to, c.fence, n.name, $3, $4::int[]
     from tidemark.checkpoints c left join tidemark.nodes n on n.id = c.owner
     where c.projection = $1 and c.version = $2 and ($4::int[])[1] between c.slot_from and c.slot_to`,
    [name, version, String(process.pid), slots],
  )
}
