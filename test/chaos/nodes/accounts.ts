import { type NodeProjection, nameOf, PROJECTIONS, versionsOf } from '../../programs/nodes-projections.ts'
import type { Row } from '../oracle.ts'
import type { ChaosStore } from '../store.ts'
import type { Commit } from './owners.ts'
import type { Account, Letter } from './verdict.ts'

interface Version {
  readonly projection: NodeProjection
  readonly version: number
}

const VERSIONS: readonly Version[] = PROJECTIONS.flatMap((projection) =>
  versionsOf(projection).map((version) => ({ projection, version })),
)

/** Whether each has handled something. */
export async function hasAllBegun(store: ChaosStore): Promise<boolean> {
  const { rows } = await store.query('select count(distinct projection)::int as n from handled')
  return rows[0].n === VERSIONS.length
}

/** How much each has still to do: events that are neither handled nor given up. */
export async function whatIsLeft(store: ChaosStore): Promise<Readonly<Record<string, number>>> {
  const { rows } = await store.query(
    `select v.name,
       (select count(*) from events where v.types is null or type = any (v.types))
       - (select count(*) from handled where projection = v.name)
       - (select count(*) from tidemark.dead_letters d
          where d.projection = v.projection and d.version = v.version and closed_as is distinct from 'retried') as left
     from jsonb_to_recordset($1) as v (name text, projection text, version int, types text[])`,
    [
      JSON.stringify(
        VERSIONS.map(({ projection: { name, eventTypes }, version }) => ({
          name: nameOf(name, version),
          projection: name,
          version,
          types: eventTypes ?? null,
        })),
      ),
    ],
  )
  return Object.fromEntries(
    rows.filter(({ left }) => Number(left) !== 0).map(({ name, left }) => [name, Number(left)]),
  )
}

/** In the order in which batches of a unit were committed. */
export async function readCommits(store: ChaosStore): Promise<readonly Commit[]> {
  const { rows } = await store.query(
    `select projection, version, slot_from as "slotFrom", slot_to as "slotTo", fence, owner, process, slots from commits order by n`,
  )
  return rows.map((row) => ({ ...row, fence: BigInt(row.fence) }))
}

export async function readAccounts(store: ChaosStore): Promise<readonly Account[]> {
  const client = await store.connect()
  try {
    await client.query('begin isolation level repeatable read')
    const events: readonly (Row & { readonly type: string })[] = (
      await client.query('select position::text, id, type from events order by events.position')
    ).rows
    const accounts: Account[] = []
    for (const { projection, version } of VERSIONS) {
      const { name, policy, eventTypes, shards } = projection
      const arrived = await client.query(
        'select position::text, id from handled where projection = $1 order by arrival',
        [nameOf(name, version)],
      )
      const letters = await client.query(
        `select first_position as position, stage, error->>'message' as message, error->>'code' as code,
           closed_as is not distinct from 'retried' as "isRetried"
         from tidemark.dead_letters where projection = $1 and version = $2 order by id`,
        [name, version],
      )
      const counted = await client.query(
        `select coalesce(sum((skipped->>'apply_error')::bigint), 0)::int as n
         from tidemark.checkpoints where projection = $1 and version = $2`,
        [name, version],
      )
      accounts.push({
        name: nameOf(name, version),
        policy,
        isInShards: shards !== undefined,
        committed: events.filter(({ type }) => eventTypes === undefined || eventTypes.includes(type)),
        arrived: arrived.rows as Row[],
        letters: letters.rows as Letter[],
        counted: counted.rows[0].n,
      })
    }
    return accounts
  } finally {
    await client.end()
  }
}
