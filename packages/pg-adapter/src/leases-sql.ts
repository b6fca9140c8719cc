import { createHash } from 'node:crypto'
import {
  type Claim,
  type Cluster,
  type DesiredNode,
  type Lease,
  type NodeReport,
  type StoredLease,
  type StoredNode,
  type Unit,
  unitKey,
} from '@tidemark/core/adapter'
import { toUnit, unitColumnsSql } from './checkpoint-rows.ts'
import { type CheckpointTables, type Row, unitValuesSql } from './checkpoint-tables.ts'
import { quoteIdentifier, quoteLiteral, quoteTexts } from './identifiers.ts'
import { RUN_BEGAN_SQL } from './server/incarnation.ts'

/** Times are of the server's clock as it stands at that statement, not of the transaction's begin. */
const NOW = 'clock_timestamp()'

/**
 * Before a node joins, and before operators want something of one: each of them sees what the other has done. Else a node that joins
 * would take over what was wanted of its name before, and not be among those that are changed.
 */
export function lockNodesSql({ nodes }: Pick<CheckpointTables, 'nodes'>): string {
  return `select pg_advisory_xact_lock(hashtextextended(${quoteLiteral(nodes)}, 0))`
}

/** One that has left stays away. One that is new takes over what is wanted of the newest of its name. */
export function renewSql({ nodes }: CheckpointTables, node: NodeReport, leaseMs: number): string {
  const { id, name, source, capacity, units, unable, isLeaving } = node
  return `insert into ${nodes} as n (id, name, source, capacity, units, unable, is_leaving, expires_at, desired, desired_by,
        desired_why, desired_since)
      select ${quoteLiteral(id)}, ${quoteLiteral(name)}, ${quoteLiteral(source)}, ${numberSql(capacity)},
        ${quoteTexts(units)}, ${quoteTexts(unable)}, ${isLeaving}, ${NOW} + ${numberSql(leaseMs)} * interval '1 millisecond',
        coalesce(o.desired, 'open'), o.desired_by, o.desired_why, o.desired_since
      from (select) one left join (
        select * from ${nodes} o where o.source = ${quoteLiteral(source)} and o.name = ${quoteLiteral(name)}
        order by o.expires_at desc limit 1
      ) o on true
      on conflict (id) do update set is_leaving = excluded.is_leaving, unable = excluded.unable, expires_at = excluded.expires_at
        where not n.has_left`
}

/** Those that have been gone for a day; so many at most. A role without the right leaves them: they do no harm. */
export function forgetNodesSql({ nodes }: CheckpointTables): string {
  return `do ${quoteLiteral(`
begin
  if has_table_privilege(${quoteLiteral(nodes)}, 'DELETE') then
    delete from ${nodes} n where n.id in (
      select o.id from ${nodes} o where o.expires_at < clock_timestamp() - interval '1 day'
      order by o.expires_at limit 1000 for update skip locked
    );
  end if;
end`)}`
}

export const isAliveSql = (n: string): string => `(not ${n}.has_left and ${n}.expires_at > ${NOW})`

/** Names one backend of the server, for as long as that runs. */
const whichSql = (n: string): string =>
  `${n}.presence_pid || '/' || (extract(epoch from ${n}.presence_start) * 1000000)::bigint`

/**
 * Of a backend of another role no start is shown: it is not known whether it is that one. One that began before this run of the server
 * ended with the run before, and that says nothing of its node.
 */
export const presenceSql = (
  n: string,
): string => `case when ${n}.presence_pid is null then 'unknown' else coalesce(
    (select case when a.backend_start is null then 'unknown' when a.backend_start = ${n}.presence_start then 'here' end
      from pg_stat_get_activity(${n}.presence_pid) a),
    case when ${n}.presence_start < ${RUN_BEGAN_SQL} then 'unknown' else 'gone' end) end`

/** One row, as `toCluster` takes it. Nodes that died long ago are left out. */
export function clusterSql({ nodes, checkpoints }: CheckpointTables, source: string): string {
  const ofSource = quoteLiteral(source)
  return `select coalesce((
        select json_agg(json_build_object('id', n.id, 'name', n.name, 'source', n.source, 'capacity', n.capacity,
          'units', n.units, 'unable', n.unable, 'desired', n.desired, 'isLeaving', n.is_leaving, 'isAlive', ${isAliveSql('n')},
          'presence', ${presenceSql('n')}, 'which', ${whichSql('n')}))
        from ${nodes} n
        where n.source = ${ofSource} and not n.has_left and n.expires_at > ${NOW} - interval '1 hour'
      ), '[]')::text as nodes, coalesce((
        select json_agg(json_build_object('unit', ${unitJsonSql('c')}, 'owner', c.owner, 'fence', c.fence::text))
        from ${checkpoints} c where c.source = ${ofSource}
      ), '[]')::text as leases`
}

interface NodeJson extends Omit<StoredNode, 'presence'> {
  readonly presence: StoredNode['presence']['is']
  readonly which: string | null
}

export function toCluster({ nodes, leases }: Row): Cluster {
  const found = JSON.parse(String(nodes)) as readonly NodeJson[]
  const units = JSON.parse(String(leases)) as readonly {
    readonly unit: Unit
    readonly owner: string | null
    readonly fence: string
  }[]
  return { nodes: found.map(toNode), leases: units.map(toStoredLease) }
}

function toNode({ which, presence, ...node }: NodeJson): StoredNode {
  const { desired } = node
  return {
    ...node,
    desired: toDesiredNode(desired),
    presence: presence === 'gone' ? { is: presence, which: which ?? '' } : { is: presence },
  }
}

export const toDesiredNode = (desired: unknown): DesiredNode =>
  desired === 'cordoned' || desired === 'draining' ? desired : 'open'

/** Of rows of units, `null` where there are none; as `unitsOfJson` takes them. */
export const unitsJsonSql = (c: string): string => `json_agg(${unitJsonSql(c)})`

const unitJsonSql = (
  c: string,
): string => `json_build_object('projection', ${c}.projection, 'version', ${c}.version,
          'slots', json_build_object('from', ${c}.slot_from, 'to', ${c}.slot_to))`

export const unitsOfJson = (json: unknown): readonly Unit[] =>
  json === null ? [] : (JSON.parse(String(json)) as readonly Unit[])

const toStoredLease = (lease: {
  readonly unit: Unit
  readonly owner: string | null
  readonly fence: string
}): StoredLease => ({ unit: lease.unit, owner: lease.owner ?? undefined, fence: BigInt(lease.fence) })

/**
 * Before a claim: a renewal that is on its way to be committed is waited for, and then counts; one that comes later waits for
 * the claim, and then sees it.
 */
export function lockOwnersSql({ nodes, checkpoints }: CheckpointTables, claims: readonly Claim[]): string {
  return `select from ${nodes} n where n.id in (
        select c.owner from ${checkpoints} c join ${valuesSql(claims)} on ${isSameUnitSql('w')}
      ) order by n.id for no key update of n`
}

/** Waits for no row of a unit. */
export function claimSql(
  { nodes, checkpoints }: CheckpointTables,
  node: string,
  claims: readonly Claim[],
): string {
  return `update ${checkpoints} c set owner = ${quoteLiteral(node)}, fence = c.fence + 1
      from (
        select c.projection, c.version, c.slot_from, c.slot_to from ${checkpoints} c
        join ${valuesSql(claims)} on ${isSameUnitSql('w')} and c.fence = w.fence
        join ${nodes} own on own.id = ${quoteLiteral(node)} and own.source = c.source and ${isAliveSql('own')}
        left join ${nodes} o on o.id = c.owner
        where o.id is null or not ${isAliveSql('o')} or (w.gone = ${whichSql('o')} and ${presenceSql('o')} = 'gone')
        for update of c skip locked
      ) f
      where ${isSameUnitSql('f')}
      returning ${unitColumnsSql('c.')}, c.fence::text as fence`
}

export function toLease(row: Row): Lease {
  return { unit: toUnit(row), fence: BigInt(String(row.fence)) }
}

/** A row that somebody works on is left as it is. */
export function releaseSql(tables: CheckpointTables, node: string, leases: readonly Lease[]): string {
  const { checkpoints } = tables
  const given = giveBackSql(
    checkpoints,
    `join ${valuesSql(leases.map((lease) => ({ ...lease, gone: undefined })))} on ${isSameUnitSql('w')} and c.fence = w.fence
        where c.owner = ${quoteLiteral(node)}`,
  )
  return `${given}; ${tellSql(tables, node)}`
}

/** Where those that are present are told that another look may be worth it. */
export function hintsChannel({ nodes }: CheckpointTables): string {
  return `tidemark_nodes_${digest(nodes)}`
}

/** What is told there: of which source, and by which node; `undefined`: by none of them. */
export function hintOf(source: string, node: string | undefined): string {
  return `${digest(source)}${node === undefined ? '' : ` ${node}`}`
}

/** A channel has at most 63 bytes. */
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** Nothing where the node has no row. */
const tellSql = (tables: CheckpointTables, node: string): string =>
  `select pg_notify(${quoteLiteral(hintsChannel(tables))}, ${digestSql('n.source')} || ' ' || n.id) from ${tables.nodes} n where n.id = ${quoteLiteral(node)}`

/** Tells all nodes of the source that this expression names; may go on with FROM. */
export const tellAllSql = (tables: CheckpointTables, source: string): string =>
  `select pg_notify(${quoteLiteral(hintsChannel(tables))}, ${digestSql(source)})`

const digestSql = (text: string): string => `left(encode(sha256(convert_to(${text}, 'UTF8')), 'hex'), 32)`

/** Waits until a node that is alive and has something is gone, for so long; and then tells the others. */
export function missingSql(tables: CheckpointTables, source: string, forMs: number): string {
  const { nodes, checkpoints } = tables
  return `do ${quoteLiteral(`
declare
  until timestamptz := clock_timestamp() + interval '${forMs} ms';
begin
  perform set_config('${MISSING}', 'false', true);
  loop
    perform pg_stat_clear_snapshot();
    if exists (
      select from ${nodes} n
      where n.source = ${quoteLiteral(source)} and ${isAliveSql('n')} and ${presenceSql('n')} = 'gone'
        and exists (select from ${checkpoints} c where c.owner = n.id)
    ) then
      perform set_config('${MISSING}', 'true', true);
      perform pg_notify(${quoteLiteral(hintsChannel(tables))}, ${quoteLiteral(hintOf(source, undefined))});
      exit;
    end if;
    exit when clock_timestamp() >= until;
    perform pg_sleep(${LOOK_EVERY_MS / 1_000});
  end loop;
end`)}; select current_setting('${MISSING}') as missing`
}

const MISSING = 'tidemark.missing'
/** A look costs the server some tens of microseconds. */
const LOOK_EVERY_MS = 50

export function leaveSql(tables: CheckpointTables, node: string): string {
  const { nodes, checkpoints } = tables
  const id = quoteLiteral(node)
  return `update ${nodes} set has_left = true, expires_at = ${NOW}, presence_pid = null, presence_start = null where id = ${id};
      ${giveBackSql(checkpoints, `where c.owner = ${id}`)}; ${tellSql(tables, node)}`
}

const giveBackSql = (checkpoints: string, which: string): string => `update ${checkpoints} c set owner = null
      from (
        select ${UNIT_KEY.map((column) => `c.${column}`).join(', ')} from ${checkpoints} c
        ${which}
        for update of c skip locked
      ) f
      where ${isSameUnitSql('f')}`

/** This backend is what the node is seen by, and is told what others tell. */
export function presentSql(tables: CheckpointTables, node: string): string {
  const { nodes } = tables
  return `listen ${quoteIdentifier(hintsChannel(tables))}; ${tellSql(tables, node)}; update ${nodes} set presence_pid = pg_backend_pid(),
        presence_start = (select a.backend_start from pg_stat_get_activity(pg_backend_pid()) a)
      where id = ${quoteLiteral(node)} and not has_left`
}

const UNIT_KEY = ['projection', 'version', 'slot_from', 'slot_to'] as const

const isSameUnitSql = (row: string): string =>
  UNIT_KEY.map((column) => `c.${column} = ${row}.${column}`).join(' and ')

/** Each unit once: a row cannot be changed twice by one statement. */
function valuesSql(claims: readonly Claim[]): string {
  const rows = [...new Map(claims.map((claim) => [unitKey(claim.unit), claim])).values()].map(
    ({ unit, fence, gone }) => `(${unitValuesSql(unit)}, ${fence}::bigint, ${quoteLiteral(gone)}::text)`,
  )
  return `(values ${rows.join(', ')}) as w (${UNIT_KEY.join(', ')}, fence, gone)`
}

function numberSql(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError(`expected a finite number, found ${value}`)
  return `${value}::double precision`
}
