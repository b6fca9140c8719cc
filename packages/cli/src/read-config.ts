import { access, readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { TidemarkConfig } from './config.ts'
import { isPresetName, PRESET_NAMES } from './presets.ts'
import { UsageError } from './usage-error.ts'

const NAMES = ['tidemark.config.ts', 'tidemark.config.js', 'tidemark.config.mjs', 'tidemark.config.json']

const KNOWN: Readonly<Record<keyof TidemarkConfig, true>> = {
  databaseUrl: true,
  schema: true,
  events: true,
  preset: true,
  consumers: true,
}

/** The file that is named, or the one that lies in the folder; `undefined`: none does. Throws `UsageError`. */
export async function readConfig(
  cwd: string,
  named: string | undefined,
): Promise<TidemarkConfig | undefined> {
  const file = named === undefined ? await found(cwd) : resolve(cwd, named)
  if (file === undefined) return undefined
  const name = basename(file)
  const config = file.endsWith('.json') ? await parsed(file, name) : await imported(file, name)
  return checked(config, name)
}

async function found(cwd: string): Promise<string | undefined> {
  for (const name of NAMES) {
    const file = resolve(cwd, name)
    const isThere = await access(file).then(
      () => true,
      () => false,
    )
    if (isThere) return file
  }
  return undefined
}

async function parsed(file: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw cannotRead(name, error)
  }
}

async function imported(file: string, name: string): Promise<unknown> {
  try {
    const module: { readonly default?: unknown } = await import(pathToFileURL(file).href)
    return module.default
  } catch (error) {
    const isUnknown = error instanceof Error && 'code' in error && error.code === 'ERR_UNKNOWN_FILE_EXTENSION'
    if (!isUnknown) throw cannotRead(name, error)
    throw new UsageError(`${name}: Node ${process.versions.node} reads no TypeScript.`, [
      'Use Node 22.18 or newer.',
      'Or name it tidemark.config.js, without types.',
    ])
  }
}

function cannotRead(name: string, error: unknown): UsageError {
  const message = error instanceof Error ? error.message : String(error)
  return new UsageError(`${name} cannot be read: ${message}`, [
    'Mend the file, or name another one by --config.',
  ])
}

function checked(config: unknown, name: string): TidemarkConfig {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new UsageError(`${name} has no object to tell.`, [
      'Let it export one by default: export default { databaseUrl: process.env.SHOP_DATABASE_URL }',
    ])
  }
  const unknown = Object.keys(config).find((key) => !(key in KNOWN))
  if (unknown !== undefined) {
    throw new UsageError(`${name} says ${JSON.stringify(unknown)}, which is not known.`, [
      `What can be said: ${Object.keys(KNOWN).join(', ')}.`,
    ])
  }
  const { preset, databaseUrl, schema } = config as Readonly<Record<string, unknown>>
  if (preset !== undefined && !(typeof preset === 'string' && isPresetName(preset))) {
    throw new UsageError(`${name}: preset is none of ${PRESET_NAMES.join(', ')}.`, [
      'Name one of these, or give events and consumers as the preset makes them: events: axon({ ... }).events',
    ])
  }
  for (const [key, value] of Object.entries({ databaseUrl, schema })) {
    if (value !== undefined && typeof value !== 'string') throw new UsageError(`${name}: ${key} is no text.`)
  }
  return config
}
