import { requireKnownOptions } from '@tidemark/core/adapter'
import { type PgPool, withConnection } from './client.ts'
import { quoteIdentifier } from './identifiers.ts'
import { appliedVersionSql, LATEST_VERSION } from './migrations/migrations.ts'
import { type CheckpointRights, checkpointRightsSql } from './migrations/rights.ts'
import { requirePool, requireText, resolveQueryTimeout } from './pool-options.ts'
import { boundedPool } from './query-timeout.ts'
import { transact } from './transaction.ts'

interface CheckpointsVersionOptions {
  /** A `pg.Pool`, or anything with its `connect`. */
  readonly pool: PgPool
  /**
   * Where Tidemark's own tables are.
   * - Change it when: `postgresCheckpoints` has another `schema`. Both have to name the same one.
   * @default 'tidemark'
   */
  readonly schema?: string
  /**
   * The longest that a statement may take, and the wait for a connection of the pool.
   * - Raising it: a server that does not answer is waited for longer.
   * - Lowering it: it fails on a busy server.
   * - Change it when: somebody waits for the answer.
   * @default 30000
   */
  readonly queryTimeoutMs?: number
}

/** Of which version Tidemark's tables are. */
export interface CheckpointsVersion {
  /** Of those that are there; 0: there are none. */
  readonly applied: number
  /** Of those that this version of the adapter makes and uses. */
  readonly latest: number
}

const OPTIONS: Readonly<Record<keyof CheckpointsVersionOptions, true>> = {
  pool: true,
  schema: true,
  queryTimeoutMs: true,
}

/** Of which version the tables of `postgresCheckpoints` are. It only reads; `prepare()` brings them to the latest one. */
export async function postgresCheckpointsVersion(
  options: CheckpointsVersionOptions,
): Promise<CheckpointsVersion> {
  requireKnownOptions(options, OPTIONS)
  const { pool, schema = 'tidemark' } = options
  requirePool(pool)
  const named = quoteIdentifier(requireText('schema', schema))
  const bounded = boundedPool(pool, resolveQueryTimeout(options.queryTimeoutMs))
  const ask = async (sql: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
    const [answer] = await withConnection(bounded, new AbortController().signal, (client) =>
      transact(client, sql),
    )
    return answer?.rows[0]
  }
  const found = await ask(checkpointRightsSql(schema))
  const { tablesExist } = JSON.parse(String(found?.rights)) as CheckpointRights
  const applied = tablesExist ? (await ask(appliedVersionSql(named)))?.version : 0
  return { applied: Number(applied), latest: LATEST_VERSION }
}
