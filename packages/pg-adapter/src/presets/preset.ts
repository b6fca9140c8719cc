import type { PostgresConsumersOptions } from '../consumers-options.ts'
import { writtenName } from '../identifiers.ts'
import type { PostgresEventsOptions } from '../options.ts'
import { requireText } from '../pool-options.ts'

/**
 * Names of a project's own tables. `events` is for `postgresEvents` and `watchedPostgresEvents`, `consumers` for
 * `postgresConsumers`: where that project's own consumers keep their checkpoints.
 */
export interface Preset {
  readonly events: Pick<
    PostgresEventsOptions,
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
  >
  readonly consumers: Omit<PostgresConsumersOptions, 'pool'>
}

export interface PresetOptions {
  /**
   * The schema that the tables are in.
   * - Change it when: they are in another one than the project's own default.
   * @default the schema that the project makes them in, or the search path
   */
  readonly schema?: string
}

export const PRESET_OPTIONS: Readonly<Record<keyof PresetOptions, true>> = { schema: true }

/** In the form that the option `table` takes. */
export function tableIn(schema: string | undefined, name: string): string {
  if (schema === undefined) return name
  requireText('schema', schema)
  // The name may have been made of a part that the user gave: it stands as it is.
  return `${writtenName({ schema: undefined, name: schema })}.${name}`
}
