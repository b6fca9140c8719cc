import type { Row } from './checkpoint-tables.ts'
import type { BoundedClient } from './client.ts'
import { TransactionLeftOpenError } from './errors.ts'
import { HAS_JUST_BEGUN, limitSql, unlessOpen } from './transaction.ts'

/**
 * The rows of one select, for what is read again and again: two statements in place of five, since the server makes one
 * transaction of a message by itself, in which a limit holds. In a transaction that somebody left open before it, `now()` is
 * the time of an earlier message: an error, after which the connection has to be destroyed.
 */
export async function readAlone(client: BoundedClient, select: string): Promise<readonly Row[]> {
  const sql = `select ${HAS_JUST_BEGUN} as "isAlone", r.* from (select) one
    left join lateral (select 'true' as "isThere", s.* from (${select}) s) r on true`
  const rows = (await unlessOpen(client, `${limitSql(client)}; ${sql}`)).at(-1)?.rows ?? []
  if (rows[0]?.isAlone !== 'true') throw new TransactionLeftOpenError({})
  return rows.filter(({ isThere }) => isThere === 'true')
}
