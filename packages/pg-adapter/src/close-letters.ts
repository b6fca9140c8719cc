import type { ClosedLetters, Unit } from '@tidemark/core/adapter'
import { type CheckpointTables, isUnitSql } from './checkpoint-tables.ts'
import type { BoundedClient } from './client.ts'
import { closingSql, idSql } from './dead-letter-rows.ts'
import { limitSql, manyResults } from './transaction.ts'

const PAGE = 10_000

/**
 * Closes the open letters of a unit whose events are handed out again, in the transaction that changes the unit. All of them
 * are locked before the first is closed, in one order, as others lock them.
 */
export async function closeLetters(
  client: BoundedClient,
  tables: CheckpointTables,
  unit: Unit,
  { isMeant, closing }: ClosedLetters,
): Promise<void> {
  const ids: string[] = []
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const results = await client.query(`${limitSql(client)}; ${lockOpenSql(tables, unit, after)}`)
    const rows = manyResults(results).at(-1)?.rows ?? []
    const letters = rows.map(({ id, first, last }) => ({
      id: String(id),
      firstPosition: String(first),
      lastPosition: String(last),
    }))
    ids.push(...letters.filter(isMeant).map(({ id }) => id))
    after = letters.at(-1)?.id
  }
  if (ids.length > 0) await client.query(closingSql(tables, ids, closing))
}

function lockOpenSql({ deadLetters }: CheckpointTables, unit: Unit, after: string): string {
  return `select d.id::text as id, d.first_position as first, d.last_position as last from ${deadLetters} d
    where ${isUnitSql('d', unit)} and d.open_id > ${idSql(after)}
    order by d.open_id limit ${PAGE} for update`
}
