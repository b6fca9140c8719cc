import { requireKnownOptions } from '@tidemark/core/adapter'
import type { PostgresEventsOptions, ResolvedPostgresEventsOptions, TraceColumn } from './options.ts'
import type { Preset } from './presets/preset.ts'
import { resolvePostgresEventsOptions } from './resolve-options.ts'
import { resolveTraceColumn, traceColumnName } from './trace-column.ts'

/** Those of `postgresEvents` that a watch has a use for, and one of its own. With `appendedAt` it tells lag in seconds. */
export interface WatchedPostgresEventsOptions
  extends Pick<PostgresEventsOptions, keyof Preset['events'] | 'pool' | 'name' | 'queryTimeoutMs'> {
  /**
   * Where a row has the trace that appended it: a column with a W3C `traceparent`; or a column of JSON, and its key for that; or
   * its keys for the ids of trace and span. The span of a lost event links to it. It is read of lost events alone.
   * - Change it when: writers store it, as in `{ column: 'message_metadata', key: 'traceparent' }`.
   * @default none
   */
  readonly traceContext?: TraceColumn
}

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
  traceContext: true,
}

/** With every default. It is polled as in proof mode, also where numbers are taken ahead: see `source.ts`. Throws `InvalidOptionError`. */
export function resolveWatchedOptions(
  options: WatchedPostgresEventsOptions,
): ResolvedPostgresEventsOptions<never> {
  requireKnownOptions(options, WATCHED_OPTIONS)
  const { traceContext: trace, ...rest } = options
  const { transaction, stream } = rest
  const traceContext = trace === undefined ? undefined : resolveTraceColumn('traceContext', trace)
  const named = [transaction, stream, traceContext && traceColumnName(traceContext)]
  const columns = named.filter((column) => column !== undefined)
  const resolved = resolvePostgresEventsOptions<never>({ ...rest, columns, allowMissingIndex: true })
  return Object.freeze({
    ...resolved,
    staleThreshold: undefined,
    watched: { transaction, stream, traceContext },
  })
}
