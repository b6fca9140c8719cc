import { requireKnownOptions } from '@tidemark/core/adapter'
import type { PostgresEventsOptions, ResolvedPostgresEventsOptions } from './options.ts'
import { requireText } from './pool-options.ts'
import { resolvePostgresEventsOptions } from './resolve-options.ts'

export interface WatchedPostgresEventsOptions
  extends Pick<
    PostgresEventsOptions,
    | 'pool'
    | 'table'
    | 'position'
    | 'sequence'
    | 'eventType'
    | 'placeholderTypes'
    | 'where'
    | 'name'
    | 'queryTimeoutMs'
  > {
  /**
   * The column (`xid8`, or an integer) with the transaction that appended the event. A checkpoint that is a pair of transaction
   * and position is compared with it.
   * - Change it when: consumers keep such pairs, as those of Emmett 0.43. Without it nothing is said of them.
   * @default none
   */
  readonly transaction?: string
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
  const { transaction, ...rest } = options
  if (transaction !== undefined) requireText('transaction', transaction)
  const columns = transaction === undefined ? [] : [transaction]
  return Object.freeze({
    ...resolvePostgresEventsOptions<never>({ ...rest, columns, allowMissingIndex: true }),
    watched: { transaction },
  })
}
