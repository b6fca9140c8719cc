import { withConnection } from '../client.ts'
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { eventRowsSql } from '../proof/event-rows.ts'
import { readEnds } from '../proof/global-order.ts'
import type { Inspection } from '../proof/inspection.ts'
import { showsOwnSequenceLock } from '../proof/own-lock.ts'
import { transactUnlessLocked } from '../transaction.ts'
import type { Finding } from './finding.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** Whether `pg_locks` shows what the proof needs. */
export async function locksFinding(
  options: Options,
  sequence: NonNullable<Inspection['sequence']>,
  signal: AbortSignal,
): Promise<Finding> {
  const isShown = await showsOwnSequenceLock(options.pool, sequence.oid, signal)
  const told = {
    code: 'pg_locks',
    about: options.sql.table,
    expected: "pg_locks shows a transaction's own locks",
  } as const
  return isShown
    ? { ...told, severity: 'ok', found: told.expected }
    : {
        ...told,
        severity: 'problem',
        found: "pg_locks does not show a transaction's own locks",
        toDo: 'This server speaks the protocol of PostgreSQL and has another lock model: nothing can be proven on it.',
      }
}

/** Whether an event stands above what the sequence has handed out. */
export async function endsFinding(
  options: Options,
  sequence: NonNullable<Inspection['sequence']>,
  signal: AbortSignal,
): Promise<Finding> {
  const { table, position } = options.sql
  const { greatest, last = sequence.start - 1n } = await readEnds(options, sequence.oid, signal)
  const told = {
    code: 'explicit_positions',
    about: table,
    expected: 'no event above what the sequence has handed out',
    found: `greatest position ${greatest ?? 'none'}, ${sequence.name} at ${last}`,
  } as const
  if (greatest === undefined || greatest <= last) return { ...told, severity: 'ok' }
  return {
    ...told,
    severity: 'problem',
    toDo:
      'If the rows were copied here, the sequence stands behind them. Then run\n' +
      `  SELECT setval(${quoteLiteral(sequence.name)}, (SELECT max(${position}) FROM ${table}));\n` +
      'If writers choose positions themselves, let them take each from the sequence first.',
  }
}

interface Plan {
  readonly 'Node Type': string
  readonly 'Index Name'?: string
  readonly 'Relation Name'?: string
  readonly Filter?: string
  readonly 'Plan Rows': number
  readonly Plans?: readonly Plan[]
}

/** So few rows are read as a whole sooner than by an index. */
const SMALL_TABLE = 10_000

/** How a page of events would be read. */
export async function planFinding(options: Options, signal: AbortSignal): Promise<Finding> {
  const { table, position } = options.sql
  const columns = Object.keys(options.where)
  const [answer] = await withConnection(options.pool, signal, (client) =>
    transactUnlessLocked(
      client,
      `explain (format json) select * from ${table} e
        where e.${position} > 0 ${eventRowsSql(options)} order by e.${position} limit 500`,
    ),
  )
  const plan = answer?.rows[0]?.['QUERY PLAN']
  const [root] = (typeof plan === 'string' ? JSON.parse(plan) : plan) as readonly { readonly Plan: Plan }[]
  const nodes = root === undefined ? [] : nodesOf(root.Plan)
  const scans = nodes.filter((node) => node['Relation Name'] !== undefined)
  const told = {
    code: 'page_plan',
    about: table,
    expected: 'a page of events is read by an index',
    found: [...new Set(scans.map(describeScan))].join(', ') || 'no row can match',
  } as const
  const whole = scans.filter((node) => node['Node Type'] === 'Seq Scan')
  if (whole.length === 0) {
    const isFiltered = scans.some(({ Filter = '' }) => columns.some((column) => Filter.includes(column)))
    if (!isFiltered) return { ...told, severity: 'ok' }
    return {
      ...told,
      severity: 'note',
      found: `${told.found}, which looks through rows of others`,
      toDo:
        'Where few rows are events of this source, an index makes its pages quick; run\n' +
        `  CREATE INDEX ON ${table} (${[...columns.map(quoteIdentifier), position].join(', ')});`,
    }
  }
  if (Math.max(...whole.map((node) => node['Plan Rows'])) < SMALL_TABLE) {
    return { ...told, severity: 'note', found: `${told.found}: the table is small` }
  }
  return {
    ...told,
    severity: 'warning',
    toDo: `Each page reads the whole table. Add an index led by ${position}, or run\n  ANALYZE ${table};`,
  }
}

const nodesOf = (plan: Plan): readonly Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

function describeScan(node: Plan): string {
  const by = node['Index Name'] === undefined ? '' : ` by ${node['Index Name']}`
  return `${node['Node Type']} of ${node['Relation Name']}${by}`
}
