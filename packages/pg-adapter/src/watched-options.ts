import { requireKnownOptions } from '@tidemark/core/adapter'
import type { PostgresEventsOptions, ResolvedPostgresEventsOptions } from './options.ts'
import { resolvePostgresEventsOptions } from './resolve-options.ts'

/** Those of `postgresEvents` that a watch has a use for. It accepts `appendedAt`, so that a preset serves both, and does not read it. */
export type WatchedPostgresEventsOptions = Pick<
  PostgresEventsOptions,
  | 'pool'
  | 'table'
  | 'position'
  | 'sequence'
  | 'eventType'
  | 'placeholderTypes'
  | 'where'
  | 'appendedAt'
  | 'transaction'
  | 'stream'
  | 'numbers'
  | 'name'
  | 'queryTimeoutMs'
>

const WATCHED_OPTIONS: Readonly<Record<keyof WatchedPostgresEventsOptions, true>> = {
  pool: true,
  table: true,
  position: true,
  sequence: true,
  eventType: true,
  placeholderTypes: true,
  where: true,
  appendedAt: true,
  transaction: true,
  stream: true,
  numbers: true,
  name: true,
  queryTimeoutMs: true,
}

/** With every default. It is polled as in proof mode, also where numbers are taken ahead: see `source.ts`. Throws `InvalidOptionError`. */
export function resolveWatchedOptions(
  options: WatchedPostgresEventsOptions,
): ResolvedPostgresEventsOptions<never> {
  requireKnownOptions(options, WATCHED_OPTIONS)
  const { transaction, stream } = options
  const columns = [transaction, stream].filter((column) => column !== undefined)
  const resolved = resolvePostgresEventsOptions<never>({ ...options, columns, allowMissingIndex: true })
  return Object.freeze({
    ...resolved,
    appendedAt: undefined,
    staleThreshold: undefined,
    watched: { transaction, stream },
  })
}
