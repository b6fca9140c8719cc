import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import type { PostgresEventsOptions, ResolvedPostgresEventsOptions } from './options.ts'
import { requireText } from './pool-options.ts'
import { resolvePostgresEventsOptions } from './resolve-options.ts'

export interface WatchedPostgresEventsOptions
  extends Pick<
    PostgresEventsOptions,
    'pool' | 'table' | 'position' | 'sequence' | 'eventType' | 'placeholderTypes' | 'name' | 'queryTimeoutMs'
  > {
  /**
   * The column (`xid8`, or an integer) with the transaction that appended the event. A checkpoint that is a pair of transaction
   * and position is compared with it.
   * - Change it when: consumers keep such pairs, as those of Emmett 0.43. Without it nothing is said of them.
   * @default none
   */
  readonly transaction?: string
  /**
   * Columns, and what they are equal to in the rows that the consumers read: `{ partition: 'emt:default' }`. Other rows are no
   * loss of theirs. What a row has there must never change.
   * - Change it when: all consumers leave out the same rows, as those of other tenants.
   * @default every row
   */
  readonly where?: Readonly<Record<string, string | number | bigint | boolean>>
}

const WATCHED_OPTIONS: Readonly<Record<keyof WatchedPostgresEventsOptions, true>> = {
  pool: true,
  table: true,
  position: true,
  sequence: true,
  eventType: true,
  placeholderTypes: true,
  name: true,
  queryTimeoutMs: true,
  transaction: true,
  where: true,
}

/** With every default. Throws `InvalidOptionError`. */
export function resolveWatchedOptions(
  options: WatchedPostgresEventsOptions,
): ResolvedPostgresEventsOptions<never> {
  requireKnownOptions(options, WATCHED_OPTIONS)
  const { transaction, where = {}, ...rest } = options
  if (transaction !== undefined) requireText('transaction', transaction)
  for (const [column, value] of Object.entries(where)) {
    requireText('where', column)
    if (!['string', 'number', 'bigint', 'boolean'].includes(typeof value)) {
      throw new InvalidOptionError(`where.${column}`, 'a text, a number or a boolean', value)
    }
  }
  const columns = [...(transaction === undefined ? [] : [transaction]), ...Object.keys(where)]
  return Object.freeze({
    ...resolvePostgresEventsOptions<never>({ ...rest, columns, allowMissingIndex: true }),
    watched: {
      transaction,
      where: Object.fromEntries(Object.entries(where).map(([column, value]) => [column, String(value)])),
    },
  })
}
