import { withConnection } from '../client.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { transactUnlessLocked } from '../transaction.ts'
import type { Inspection } from './inspection.ts'
import {
  fail,
  mayNotRead,
  otherColumns,
  requireNamedSequence,
  requireSharedByPartitions,
} from './sequence-conditions.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/**
 * Throws unless the position orders all events of the table. Even a mode that proves nothing needs that: a position
 * within a stream or a tenant begins anew in each, and events below the mark would be passed uncounted. It is shown by
 * a unique index, or by one sequence that fills the column (rows may share a number) and stands above every row.
 */
export async function requireGlobalOrder(
  inspection: Inspection,
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  requireNamedSequence(inspection, options)
  if (inspection.isPositionUnique) return
  const { sequence } = inspection
  if (sequence === undefined) return fail('position_order', notShown(inspection, options))
  requireSharedByPartitions(inspection, sequence, options)
  if (!sequence.mayRead) fail('sequence_privilege', mayNotRead(sequence.name, inspection.role))
  const { greatest, last } = await readEnds(options, sequence.oid, signal)
  const handedOut = last ?? sequence.start - 1n
  if (greatest === undefined || greatest <= handedOut) return
  fail(
    'position_order',
    `${options.sql.table} has an event at position ${greatest}, but ${sequence.name} has only handed out numbers up to ` +
      `${handedOut}, and no unique index shows that two events never share a position: they may be numbered by stream, ` +
      `tenant or partition. ${showIt(inspection, options)}`,
  )
}

function notShown(inspection: Inspection, options: Options): string {
  const found = `nothing shows that ${options.sql.table}.${options.position} orders all events: no sequence fills it, and no unique index has it as its only column; it may be a position within one stream or tenant.`
  return `${found} ${otherColumns(inspection, options) ?? showIt(inspection, options)}`
}

function showIt({ relations }: Inspection, { sql }: Options): string {
  const isWhole = relations.length === 1
  return isWhole
    ? `If two events never share a position, show it; run\n  CREATE UNIQUE INDEX CONCURRENTLY ON ${sql.table} (${sql.position});`
    : 'Read each partition by a source of its own'
}

/** The greatest position there is, and the last number of its sequence: `undefined` where there is none yet. */
export async function readEnds(
  { pool, sql }: Options,
  sequenceOid: string,
  signal: AbortSignal,
): Promise<{ readonly greatest: bigint | undefined; readonly last: bigint | undefined }> {
  // Reads the greatest position first, so that an event appended meanwhile proves nothing.
  const results = await withConnection(pool, signal, (client) =>
    transactUnlessLocked(
      client,
      `select max(${sql.position})::text as greatest from ${sql.table};
       select pg_sequence_last_value(${sequenceOid}::oid::regclass)::text as last`,
    ),
  )
  const { greatest, last } = Object.assign({}, ...results.flatMap(({ rows }) => rows))
  return { greatest: toPosition(greatest), last: toPosition(last) }
}

const toPosition = (value: unknown): bigint | undefined =>
  typeof value === 'string' ? BigInt(value) : undefined
