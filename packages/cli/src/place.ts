import type { EventsConfig } from '@tidemark/console/status'
import type { PoolConfig } from 'pg'
import type { ConsumersConfig, TidemarkConfig } from './config.ts'
import { isPresetName, PRESET_NAMES, type PresetName, presetOf } from './presets.ts'
import { UsageError } from './usage-error.ts'

/** What the options of a command say of the database. */
export interface PlaceFlags {
  readonly databaseUrl?: string
  readonly schema?: string
  readonly config?: string
  readonly table?: string
  readonly position?: string
  readonly sequence?: string
  readonly eventType?: string
  readonly preset?: string
}

/** Where everything is. */
export interface Place {
  readonly connection: PoolConfig
  /** For people; without a password. */
  readonly called: string
  readonly schema: string
  /** `undefined`: the tables that the checkpoints are named after. */
  readonly events: EventsConfig | undefined
  readonly preset: PresetName | undefined
  readonly consumers: readonly ConsumersConfig[]
}

const HOW_TO_NAME =
  'Name it: --database-url postgres://user@host:5432/database, DATABASE_URL, PGHOST and the like, or databaseUrl in tidemark.config.js.'

/** Pure. Options come before the environment, and that before the file. Throws `UsageError`. */
export function resolvePlace(
  flags: PlaceFlags,
  env: Readonly<Record<string, string | undefined>>,
  config: TidemarkConfig = {},
): Place {
  const url = flags.databaseUrl ?? env.DATABASE_URL ?? config.databaseUrl
  const { consumers = [] } = config
  return {
    ...(url === undefined ? byVariables(env) : byUrl(url)),
    schema: flags.schema ?? config.schema ?? 'tidemark',
    ...resolveEvents(flags, config),
    consumers: [consumers].flat(),
  }
}

function byUrl(connectionString: string): Pick<Place, 'connection' | 'called'> {
  try {
    const { protocol, hostname, port, pathname, username } = new URL(connectionString)
    if (protocol !== 'postgres:' && protocol !== 'postgresql:') throw new TypeError(protocol)
    const called = `${hostname}${port === '' ? '' : `:${port}`}${pathname}`
    return {
      connection: { connectionString },
      called: username === '' ? called : `${called} as ${decodeURIComponent(username)}`,
    }
  } catch {
    // It is not shown: there may be a password in it.
    throw new UsageError('The URL of the database is none that can be read.', [
      'Write it so: postgres://user:password@host:5432/database, with %40 for @ and %2F for / in the password.',
    ])
  }
}

const VARIABLES = ['PGHOST', 'PGPORT', 'PGDATABASE', 'PGUSER', 'PGPASSWORD'] as const

function byVariables(
  env: Readonly<Record<string, string | undefined>>,
): Pick<Place, 'connection' | 'called'> {
  if (VARIABLES.every((name) => env[name] === undefined)) {
    throw new UsageError('Which database is meant was not said.', [HOW_TO_NAME])
  }
  const { PGHOST: host, PGPORT: port, PGDATABASE: database, PGUSER: user, PGPASSWORD: password } = env
  const given = { host, port: port === undefined ? undefined : Number(port), database, user, password }
  const called = `${host ?? 'localhost'}${port === undefined ? '' : `:${port}`}${database === undefined ? '' : `/${database}`}`
  return {
    connection: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    called: user === undefined ? called : `${called} as ${user}`,
  }
}

function resolveEvents(flags: PlaceFlags, config: TidemarkConfig): Pick<Place, 'events' | 'preset'> {
  const { table, position, sequence, eventType } = flags
  const columns = {
    ...(position === undefined ? {} : { position }),
    ...(sequence === undefined ? {} : { sequence }),
    ...(eventType === undefined ? {} : { eventType }),
  }
  if (flags.preset !== undefined) {
    if (table !== undefined || Object.keys(columns).length > 0) {
      throw new UsageError('--preset knows table and columns: leave out --table and what stands with it.')
    }
    return ofPreset(flags.preset)
  }
  if (table !== undefined) return { events: { table, ...columns }, preset: undefined }
  const ofConfig =
    config.preset === undefined ? { events: config.events, preset: undefined } : ofPreset(config.preset)
  if (Object.keys(columns).length === 0) return ofConfig
  if (ofConfig.events === undefined) {
    throw new UsageError('--position, --sequence and --event-type are about a table: name it by --table.')
  }
  return { ...ofConfig, events: { ...ofConfig.events, ...columns } }
}

function ofPreset(name: string): Pick<Place, 'events' | 'preset'> {
  if (!isPresetName(name)) throw new UsageError(`--preset is one of ${PRESET_NAMES.join(', ')}.`)
  return { events: presetOf(name).events, preset: name }
}
