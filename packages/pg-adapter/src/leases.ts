import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Lease, Leases, Presence, PresenceRequest } from '@tidemark/core/adapter'
import type { CheckpointTables, Query, Row } from './checkpoint-tables.ts'
import { type BoundedClient, type BoundedPool, withConnection } from './client.ts'
import { KeptExchanges } from './kept-exchanges.ts'
import {
  claimSql,
  clusterSql,
  forgetNodesSql,
  hintOf,
  hintsChannel,
  leaveSql,
  lockNodesSql,
  lockOwnersSql,
  missingSql,
  presentSql,
  releaseSql,
  renewSql,
  toCluster,
  toLease,
} from './leases-sql.ts'
import { nodeControl } from './node-control.ts'
import { onNotification } from './notifications.ts'
import type { OperatorQueries } from './operator-errors.ts'
import { isOwnBackend } from './own-backend.ts'
import { transact } from './transaction.ts'
import { hasSpareConnection, keepingConnection } from './wake-ups/spare-connection.ts'

interface LeasesParts {
  readonly pool: BoundedPool
  readonly query: Query
  /** Its errors tell operators what to do. */
  readonly operatorQueries: OperatorQueries
  readonly tables: CheckpointTables
}

/** For how long a look whether a node is gone waits in the server. A backend that waits outlives its client by as much. */
const LOOKS_FOR_MS = 1_000

/** Who works at which unit: a row for each node, and two columns of the unit's row. */
export function leases({ pool, query, operatorQueries, tables }: LeasesParts): Leases {
  const kept = new Map<string, KeptExchanges>()
  const joined = new Set<string>()
  /** Over the node's own connection, as long as there is one: handlers may hold all others. */
  const ask = async (node: string, sql: string, signal: AbortSignal): Promise<readonly Row[]> =>
    (await kept.get(node)?.run(sql, signal)) ?? (await query(sql, signal))
  return {
    renew: async ({ node, leaseMs, signal }): Promise<Cluster> => {
      const renewing = `${renewSql(tables, node, leaseMs)}; ${clusterSql(tables, node.source)}`
      // Rows become more with each that joins, and with nothing else.
      const sql = joined.has(node.id)
        ? renewing
        : `${forgetNodesSql(tables)}; ${lockNodesSql(tables)}; ${renewing}`
      const row = (await ask(node.id, sql, signal)).at(-1) ?? {}
      joined.add(node.id)
      return toCluster(row)
    },
    claim: async ({ node, claims, signal }): Promise<readonly Lease[]> => {
      if (claims.length === 0) return []
      // The second statement has a snapshot of its own, taken once the owners' rows are locked.
      const rows = await ask(
        node,
        `${lockOwnersSql(tables, claims)}; ${claimSql(tables, node, claims)}`,
        signal,
      )
      return rows.filter(({ fence }) => fence !== undefined).map(toLease)
    },
    release: async ({ node, leases: given, signal }) => {
      if (given.length > 0) await ask(node, releaseSql(tables, node, given), signal)
    },
    leave: async (node, signal) => {
      await ask(node, leaveSql(tables, node), signal)
    },
    control: nodeControl(operatorQueries, tables),
    presence: async (request) => await present({ pool, tables, kept }, request),
    missing: async (source, signal) => {
      if (!hasSpareConnection(pool.pool)) {
        await sleep(LOOKS_FOR_MS, undefined, { signal })
        return false
      }
      const forMs = Math.min(LOOKS_FOR_MS, pool.queryTimeoutMs / 2)
      const sql = missingSql(tables, source, forMs)
      const results = await keepingConnection(pool.pool, () =>
        withConnection(pool, signal, (client) => transact(client, sql)),
      )
      return results.flatMap(({ rows }) => rows).some(({ missing }) => missing === 'true')
    },
  }
}

interface PresentParts extends Pick<LeasesParts, 'pool' | 'tables'> {
  readonly kept: Map<string, KeptExchanges>
}

/** Keeps a connection until the signal fires or it is lost. Behind a pooler it is kept as well, and seen by nobody. */
async function present(parts: PresentParts, request: PresenceRequest): Promise<Presence> {
  const { pool } = parts
  if (!hasSpareConnection(pool.pool)) return { isSeen: false, ended: new Promise(() => {}) }
  return await new Promise((resolve, reject) => {
    const ended = keepingConnection(pool.pool, () =>
      keep(parts, request, (isSeen) => resolve({ isSeen, ended: over })),
    )
    const over = ended.then(
      () => {},
      (error: unknown) => reject(error),
    )
  })
}

async function keep(
  { pool, tables, kept }: PresentParts,
  { node, source, onHint, signal }: PresenceRequest,
  tell: (isSeen: boolean) => void,
): Promise<void> {
  let exchanges: KeptExchanges | undefined
  let stopListening = (): void => {}
  try {
    await withConnection(pool, signal, async (client, connection) => {
      // Others take it for this node: nobody else may have it.
      connection.isSpent = true
      const lost = endOf(client)
      const isSeen = await isOwnBackend(client)
      if (isSeen) {
        stopListening = onNotification(client, (channel, hint) => {
          if (channel !== hintsChannel(tables)) return
          if (hint.startsWith(hintOf(source, undefined)) && hint !== hintOf(source, node)) onHint()
        })
        await transact(client, presentSql(tables, node))
      }
      exchanges = new KeptExchanges(client)
      kept.set(node, exchanges)
      tell(isSeen)
      await Promise.race([lost, exchanges.broken])
    })
  } finally {
    stopListening()
    if (kept.get(node) === exchanges) kept.delete(node)
  }
}

/** A connection that the server ends says so by an event. */
function endOf(client: BoundedClient): Promise<void> {
  return new Promise((resolve) => {
    client.on('error', () => resolve())
  })
}
