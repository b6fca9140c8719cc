import type { ConsumerCheckpoint, ConsumerCheckpoints, StoredConsumer } from '@tidemark/core/adapter'
import { type AxonSegment, axonProcessors } from './axon-processors.ts'
import { withConnection } from './client.ts'
import { parseCheckpoint } from './consumer-checkpoint.ts'
import {
  type PostgresConsumersOptions,
  type ResolvedPostgresConsumersOptions,
  resolvePostgresConsumersOptions,
} from './consumers-options.ts'
import { ConsumersUnreadableError } from './errors.ts'
import { quoteIdentifier } from './identifiers.ts'
import { sqlState } from './sql-state.ts'
import { transactUnlessLocked } from './transaction.ts'

/**
 * A table in which consumers that Tidemark does not run keep their checkpoints, for `createWatch`. It is read with one SELECT
 * a look. Nothing is written. Throws `InvalidOptionError`.
 */
export function postgresConsumers(options: PostgresConsumersOptions): ConsumerCheckpoints {
  const resolved = resolvePostgresConsumersOptions(options)
  const revisions = { areTold: true }
  return {
    name: resolved.name,
    eventTypes: resolved.eventTypes,
    read: (signal) => readConsumers(resolved, revisions, signal),
  }
}

type Options = ResolvedPostgresConsumersOptions
type Row = Readonly<Record<string, unknown>>

/** Whether rows have an `xmin` that this role may read: a view has none, and rights on single columns do not cover it. */
interface Revisions {
  areTold: boolean
}

/** One look reads them all; so many are no consumers, but something else. */
const MOST_CONSUMERS = 1_000

async function readConsumers(
  options: Options,
  revisions: Revisions,
  signal: AbortSignal,
): Promise<readonly StoredConsumer[]> {
  const rows = await readRows(options, revisions, signal)
  if (rows.length > MOST_CONSUMERS) {
    throw new ConsumersUnreadableError(
      `${options.called} has more than ${MOST_CONSUMERS} rows, which is more than consumers have checkpoints; ` +
        'name in the option table a view of those that are to be watched',
    )
  }
  const stored = options.axonTokens
    ? axonProcessors(rows.map(toSegment))
    : rows.map((row) => toConsumer(row, options))
  const consumers = stored.filter(({ consumer }) => options.isConsumer(consumer))
  const names = consumers.map(({ consumer }) => consumer)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice === undefined) return consumers
  throw new ConsumersUnreadableError(
    `${options.called} has two rows of the consumer "${twice}"; name every column of the key in the option consumer`,
  )
}

function toSegment({ consumer, segment, type, checkpoint }: Row): AxonSegment {
  return {
    processor: String(consumer),
    segment: String(segment),
    type: typeof type === 'string' ? type : undefined,
    token: typeof checkpoint === 'string' ? Buffer.from(checkpoint, 'hex') : undefined,
  }
}

function toConsumer(
  { consumer, checkpoint, run, revision, category }: Row,
  { stored }: Options,
): StoredConsumer {
  return {
    consumer: String(consumer),
    checkpoint: toCheckpoint(checkpoint, stored),
    text: typeof checkpoint === 'string' ? checkpoint : '',
    run: typeof run === 'string' ? run : undefined,
    category: typeof category === 'string' ? category : undefined,
    revision: typeof revision === 'string' ? revision : undefined,
  }
}

function toCheckpoint(text: unknown, stored: Options['stored']): ConsumerCheckpoint | undefined {
  const checkpoint = typeof text === 'string' ? parseCheckpoint(text) : undefined
  if (checkpoint === undefined || stored === 'last') return checkpoint
  return { ...checkpoint, position: checkpoint.position - 1n }
}

async function readRows(
  options: Options,
  revisions: Revisions,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  try {
    const [read] = await withConnection(options.pool, signal, (client) =>
      transactUnlessLocked(client, consumersSql(options, revisions)),
    )
    return read?.rows ?? []
  } catch (error) {
    if (!NOT_AS_NAMED.has(sqlState(error) ?? '')) throw error
    if (revisions.areTold) {
      const rows = await readRows(options, { areTold: false }, signal)
      revisions.areTold = false
      return rows
    }
    throw new ConsumersUnreadableError(
      `the checkpoints of consumers cannot be read: ${String(error)}; look whether the options table, consumer, checkpoint and ` +
        `run name what is there, and whether this role may SELECT from ${options.called}` +
        (options.axonTokens ? LARGE_OBJECTS : ''),
      { cause: error },
    )
  }
}

const LARGE_OBJECTS =
  '. Tokens in a column of type oid are large objects, and only their owner may read each of them: give the watch a pool with ' +
  'the role of the Axon application'

/** undefined_table, undefined_column, insufficient_privilege, invalid_schema_name */
const NOT_AS_NAMED: ReadonlySet<string> = new Set(['42P01', '42703', '42501', '3F000'])

function consumersSql(
  { from, consumer, checkpoint, axonTokens, run, category }: Options,
  { areTold }: Revisions,
): string {
  const segment =
    axonTokens &&
    `${quoteIdentifier(axonTokens.segment)}::text as segment,
      ${quoteIdentifier(axonTokens.type)}::text as type,`
  return `select ${joined(consumer)} as consumer, ${segment ?? ''}
      ${axonTokens ? tokenSql(checkpoint) : joined(checkpoint)} as checkpoint,
      ${textOf(run)} as run, ${textOf(category)} as category,
      ${areTold ? 'xmin::text' : 'null'} as revision
    from ${from} limit ${MOST_CONSUMERS + 1}`
}

const textOf = (column: string | undefined): string =>
  column === undefined ? 'null' : `${quoteIdentifier(column)}::text`

/** NULL where one of them is. */
function joined(columns: readonly string[]): string {
  return columns.map((column) => `${quoteIdentifier(column)}::text`).join(` || ':' || `)
}

/** A column of any type as bytes, in hex. As text it can be cast to each type, and only the cast to its own one is run. */
function tokenSql(columns: readonly string[]): string {
  const text = joined(columns)
  const type = `pg_typeof(${columns.map(quoteIdentifier).join()})`
  return `encode(case ${type} when 'oid'::regtype then lo_get((${text})::oid)
      when 'bytea'::regtype then (${text})::bytea else convert_to(${text}, 'UTF8') end, 'hex')`
}
