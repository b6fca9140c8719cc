import type { Cluster, Lease, Leases } from '@tidemark/core/adapter'
import type { CheckpointTables, Query } from './checkpoint-tables.ts'
import { type BoundedClient, type BoundedPool, withConnection } from './client.ts'
import {
  claimSql,
  clusterSql,
  leaveSql,
  lockOwnersSql,
  presentSql,
  releaseSql,
  renewSql,
  toCluster,
  toLease,
} from './leases-sql.ts'
import { transact } from './transaction.ts'

interface LeasesParts {
  readonly pool: BoundedPool
  readonly query: Query
  readonly tables: CheckpointTables
}

/** Who works at which unit: a row for each node, and two columns of the unit's row. */
export function leases({ pool, query, tables }: LeasesParts): Leases {
  return {
    renew: async ({ node, leaseMs, signal }): Promise<Cluster> => {
      const sql = `${renewSql(tables, node, leaseMs)}; ${clusterSql(tables, node.source)}`
      const [row = {}] = await query(sql, signal)
      return toCluster(row)
    },
    claim: async ({ node, claims, signal }): Promise<readonly Lease[]> => {
      if (claims.length === 0) return []
      // The second statement has a snapshot of its own, taken once the owners' rows are locked.
      const rows = await query(`${lockOwnersSql(tables, claims)}; ${claimSql(tables, node, claims)}`, signal)
      return rows.filter(({ fence }) => fence !== undefined).map(toLease)
    },
    release: async ({ node, leases: given, signal }) => {
      if (given.length > 0) await query(releaseSql(tables, node, given), signal)
    },
    leave: async (node, signal) => {
      await query(leaveSql(tables, node), signal)
    },
    presence: (node, signal) =>
      new Promise((resolve, reject) => {
        withConnection(pool, signal, async (client, connection) => {
          // Others take it for this node: nobody else may have it.
          connection.isSpent = true
          const ended = endOf(client)
          if (!(await isOwnBackend(client))) return resolve(undefined)
          await transact(client, presentSql(tables, node))
          resolve({ ended })
          await ended
        }).then(() => resolve(undefined), reject)
      }),
  }
}

/** Not one of a pooler, which gives each transaction another one. */
async function isOwnBackend(client: BoundedClient): Promise<boolean> {
  const [found] = await transact(client, 'select pg_backend_pid()::text as pid')
  return String(client.driver.processID) === String(found?.rows[0]?.pid)
}

/** A connection that the server ends says so by an event. */
function endOf(client: BoundedClient): Promise<void> {
  return new Promise((resolve) => {
    client.on('error', () => resolve())
  })
}
