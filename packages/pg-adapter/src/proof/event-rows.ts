import type { KeySlots } from '@tidemark/core/adapter'
import { withConnection } from '../client.ts'
import { PostgresConditionError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral, quoteTexts } from '../identifiers.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { sqlState } from '../sql-state.ts'
import type { Bind } from '../statement.ts'
import { transactUnlessLocked } from '../transaction.ts'
import { ofSlotsSql } from './key-slots.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/**
 * Conditions on the rows of `e`, each with `and` before it: which of them are events of this source. What was written to fill
 * a dead number is none, and what does not fulfil the option `where` is somebody else's. An event without a type is one.
 *
 * Positions of both are taken all the same. So what is settled is found without this.
 */
export function eventRowsSql({
  eventType,
  placeholderTypes,
  where,
}: Pick<Options, 'eventType' | 'placeholderTypes' | 'where'>): string {
  const isNoPlaceholder =
    eventType === undefined || placeholderTypes.length === 0
      ? []
      : [`and (e.${quoteIdentifier(eventType)}::text = any (${quoteTexts(placeholderTypes)})) is not true`]
  return [...isNoPlaceholder, ...whereConditions({ where }).map((condition) => `and ${condition}`)].join(' ')
}

/** What is wanted of the events of a source. */
interface WantedRows {
  readonly eventTypes: readonly string[] | undefined
  readonly slots: KeySlots | undefined
}

/** The same of a page: of these types and slots alone, where they are given. */
export function wantedRowsSql(
  options: Pick<Options, 'eventType' | 'placeholderTypes' | 'where'>,
  { eventTypes, slots }: WantedRows,
  bind: Bind,
): string {
  const { eventType } = options
  const ofTypes =
    eventTypes && eventType !== undefined
      ? `and e.${quoteIdentifier(eventType)}::text = any (${bind('text[]', quoteTexts(eventTypes))})`
      : ''
  // The hash of a key last: it is computed for those rows alone that are events of the source.
  return `${ofTypes} ${eventRowsSql(options)}${ofSlotsSql(slots, bind)}`
}

function whereConditions({ where }: Pick<Options, 'where'>): readonly string[] {
  return Object.entries(where).map(
    ([column, value]) => `e.${quoteIdentifier(column)} = ${quoteLiteral(value)}`,
  )
}

/** Throws where a column cannot be compared with what `where` wants it to be. */
export async function requireComparableWhere(options: Options, signal: AbortSignal): Promise<void> {
  const conditions = whereConditions(options)
  if (conditions.length === 0) return
  try {
    // ONLY: this connection goes on to read events, and must have made no list of the partitions that nobody has compared.
    await withConnection(options.pool, signal, (client) =>
      transactUnlessLocked(
        client,
        `select from only ${options.sql.table} e where ${conditions.join(' and ')} limit 0`,
      ),
    )
  } catch (error) {
    const state = sqlState(error) ?? ''
    if (!state.startsWith(DATA_EXCEPTION) && state !== UNDEFINED_OPERATOR) throw error
    throw new PostgresConditionError(
      'where',
      `where: ${options.sql.table} has no such rows, and can have none: ${String(error)}; write each value as the column ` +
        'holds it',
      { cause: error },
    )
  }
}

const DATA_EXCEPTION = '22'
const UNDEFINED_OPERATOR = '42883'
