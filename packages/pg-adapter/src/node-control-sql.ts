import type { ListedNode, NodeAuditEntry, NodeAuditFilter, NodeDecision } from '@tidemark/core/adapter'
import { msSql, textOf } from './checkpoint-rows.ts'
import type { CheckpointTables, Row } from './checkpoint-tables.ts'
import { quoteLiteral } from './identifiers.ts'
import {
  isAliveSql,
  lockNodesSql,
  presenceSql,
  tellAllSql,
  toDesiredNode,
  unitsJsonSql,
  unitsOfJson,
} from './leases-sql.ts'

/** As `toListedNode` takes them. */
export function listNodesSql({ nodes, checkpoints }: CheckpointTables, source: string | undefined): string {
  const ofSource = source === undefined ? '' : `and n.source = ${quoteLiteral(source)}`
  return `select n.id, n.name, n.source, n.capacity::text as capacity, ${isAliveSql('n')}::text as "isAlive",
        n.is_leaving::text as "isLeaving", n.desired, n.desired_by as who, n.desired_why as why,
        ${msSql('n.desired_since')} as since, ${presenceSql('n')} as presence,
        (select ${unitsJsonSql('c')} from ${checkpoints} c where c.owner = n.id)::text as units
      from ${nodes} n
      where ((not n.has_left and n.expires_at > clock_timestamp() - interval '1 hour') or n.desired <> 'open') ${ofSource}`
}

export function toListedNode(row: Row): ListedNode {
  const sinceMs = textOf(row.since)
  const { presence } = row
  return {
    id: String(row.id),
    name: String(row.name),
    source: String(row.source),
    capacity: Number(row.capacity),
    isAlive: row.isAlive === 'true',
    isLeaving: row.isLeaving === 'true',
    desired: toDesiredNode(row.desired),
    decision:
      sinceMs === undefined
        ? undefined
        : { who: String(row.who), why: String(row.why), sinceMs: Number(sinceMs) },
    presence: presence === 'here' || presence === 'gone' ? presence : 'unknown',
    units: unitsOfJson(row.units),
  }
}

/** Changes what is wanted, notes that, and tells those that are present. As `toNodeAuditEntry` takes what was noted. */
export function decideNodesSql(
  tables: CheckpointTables,
  { source, node, desired, who, why }: NodeDecision,
): string {
  const { nodes, nodeAudit } = tables
  const isMeant = [
    `(n.id = ${quoteLiteral(node)} or n.name = ${quoteLiteral(node)})`,
    ...(source === undefined ? [] : [`n.source = ${quoteLiteral(source)}`]),
  ].join(' and ')
  const decision = [desired, who, why].map(quoteLiteral)
  return `${lockNodesSql(tables)};
      with changed as (
        update ${nodes} n set desired = ${decision[0]}, desired_by = ${decision[1]}, desired_why = ${decision[2]},
          desired_since = clock_timestamp()
        where ${isMeant} and n.desired <> ${decision[0]}
        returning n.source, n.id, n.name
      )
      insert into ${nodeAudit} (source, node, runs, desired, who, why)
        select source, min(name), array_agg(id), ${decision.join(', ')} from changed group by source
        returning ${NODE_AUDIT_COLUMNS};
      ${tellAllSql(tables, 'n.source')} from (select distinct n.source from ${nodes} n where ${isMeant}) n`
}

const NODE_AUDIT_COLUMNS = `id::text as id, source, node, to_json(runs)::text as runs, desired, who, why, ${msSql('at')} as at`

/** The newest first. */
export function nodeAuditSql(
  { nodeAudit }: CheckpointTables,
  { source, node, before, limit }: NodeAuditFilter,
): string {
  const conditions = [
    ...(source === undefined ? [] : [`source = ${quoteLiteral(source)}`]),
    ...(node === undefined ? [] : [`node = ${quoteLiteral(node)}`]),
    ...(before === undefined ? [] : [`id < ${before}`]),
  ]
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  return `select ${NODE_AUDIT_COLUMNS} from ${nodeAudit} ${where} order by id desc limit ${limit}`
}

export function toNodeAuditEntry(row: Row): NodeAuditEntry {
  return {
    id: BigInt(String(row.id)),
    source: String(row.source),
    node: String(row.node),
    runs: JSON.parse(String(row.runs)) as readonly string[],
    desired: toDesiredNode(row.desired),
    who: String(row.who),
    why: String(row.why),
    atMs: Number(row.at),
  }
}
