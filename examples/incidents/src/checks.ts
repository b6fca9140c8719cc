import type pg from 'pg'
import { ORACLES } from './oracle.ts'
import type { ProjectionName } from './projections.ts'

/** What holds again once an incident is solved. */
export interface Check {
  /** For people. */
  readonly what: string
  holds(pool: pg.Pool): Promise<boolean>
}

const PROJECTIONS: readonly ProjectionName[] = ['orders', 'revenue', 'mails']
/** How old an event may be that is not handled yet. */
const LONGEST_WAIT_SECONDS = 5

export function everyProjectionFollows(): readonly Check[] {
  return PROJECTIONS.map(follows)
}

/** `leftOut`: an event that may be handled or left out. */
export function checksOfAll(leftOut: bigint | undefined): readonly Check[] {
  return PROJECTIONS.flatMap((name) => [follows(name), equalsOracle(name, leftOut)])
}

function follows(projection: ProjectionName): Check {
  return {
    what: `${projection} has handled, or given up, every event that is older than ${LONGEST_WAIT_SECONDS} s`,
    holds: async (pool) =>
      await isTrue(
        pool,
        `select count(*) = 0 as holds from events
         where appended_at < clock_timestamp() - $2 * interval '1 second' and position > (
           select coalesce(position, '0')::bigint from tidemark.checkpoints where projection = $1 and role = 'live')`,
        [projection, LONGEST_WAIT_SECONDS],
      ),
  }
}

function equalsOracle(projection: ProjectionName, leftOut: bigint | undefined): Check {
  return {
    what: `the read model of ${projection} is what its events say, up to its checkpoint`,
    holds: async (pool) =>
      (await equals(pool, projection, undefined)) ||
      (leftOut !== undefined && (await equals(pool, projection, leftOut))),
  }
}

/** Checkpoint, read model and events are of one moment. */
async function equals(
  pool: pg.Pool,
  projection: ProjectionName,
  leftOut: bigint | undefined,
): Promise<boolean> {
  const { expected, found } = ORACLES[projection]
  const client = await pool.connect()
  try {
    await client.query('begin isolation level repeatable read read only')
    const { rows } = await client.query<{ position: string }>(
      `select coalesce(position, '0') as position from tidemark.checkpoints where projection = $1 and role = 'live'`,
      [projection],
    )
    const isEqual = await isTrue(
      client,
      `with expected as (${expected}), found as (${found})
       select count(*) = 0 as holds from (
         (table expected except all table found) union all (table found except all table expected)) difference`,
      [rows[0]?.position ?? '0', leftOut?.toString()],
    )
    await client.query('commit')
    client.release()
    return isEqual
  } catch (error) {
    client.release(true)
    throw error
  }
}

export function hasNoOpenLetters(projection: ProjectionName): Check {
  return {
    what: `${projection} has no open dead letters`,
    holds: async (pool) =>
      await isTrue(
        pool,
        'select count(*) = 0 as holds from tidemark.dead_letters where projection = $1 and closed_as is null',
        [projection],
      ),
  }
}

/** Of the orders above `from`: the loop has begun there. */
export function hasEachInvoiceOnce(from: bigint): Check {
  return {
    what: `each order above ${from} that is older than ${LONGEST_WAIT_SECONDS} s has one invoice, of its amount`,
    holds: async (pool) =>
      await isTrue(
        pool,
        `with due as (
           select order_id, amount_cents from events where type = 'OrderPlaced' and position > $1
             and appended_at < clock_timestamp() - $2 * interval '1 second'
         ), missing as (select * from due except all select * from invoices
         ), wrong as (
           select * from invoices except all select order_id, amount_cents from events where type = 'OrderPlaced')
         select (select count(*) from missing) = 0 and (select count(*) from wrong) = 0 as holds`,
        [from.toString(), LONGEST_WAIT_SECONDS],
      ),
  }
}

async function isTrue(
  client: pg.Pool | pg.PoolClient,
  sql: string,
  values: readonly unknown[],
): Promise<boolean> {
  const { rows } = await client.query<{ holds: boolean }>(sql, [...values])
  return rows[0]?.holds === true
}
