import type { EventsConfig } from '@tidemark/console/status'
import type { PostgresConsumersOptions } from '@tidemark/pg-adapter'
import type { PresetName } from './presets.ts'

/** Where consumers that Tidemark does not run keep their checkpoints: what `postgresConsumers` is given, without `pool`. */
export type ConsumersConfig = Omit<PostgresConsumersOptions, 'pool' | 'queryTimeoutMs'>

/**
 * What `tidemark.config.ts`, `.js`, `.mjs` or `.json` says, so that nobody has to say it at each command.
 *
 * ```ts
 * export default { schema: 'projections', events: { table: 'events', eventType: 'type' } } satisfies TidemarkConfig
 * ```
 */
export interface TidemarkConfig {
  /** Where the database is. `--database-url` and `DATABASE_URL` come before it. */
  readonly databaseUrl?: string
  /** Where Tidemark's own tables are: the `schema` of `postgresCheckpoints`. @default 'tidemark' */
  readonly schema?: string
  /** The table of the events. @default the one that the checkpoints are named after */
  readonly events?: EventsConfig
  /** A project whose tables these are, in place of `events` and `consumers`. */
  readonly preset?: PresetName
  /** For `tidemark watch`. */
  readonly consumers?: ConsumersConfig | readonly ConsumersConfig[]
}
