import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { faultsOf } from '../../docs/options/src/option.ts'
import { optionsPage } from '../../docs/options/src/page.ts'
import { readOptions } from '../../docs/options/src/read-options.ts'
import { DAEMON_DEFAULTS } from '../../packages/core/src/daemon/options.ts'
import { HIGH_WATER_AGENT_DEFAULTS } from '../../packages/core/src/high-water/options.ts'
import { PROJECTION_DEFAULTS } from '../../packages/core/src/projection/resolve-projections.ts'
import { MONITOR_DEFAULTS } from '../../packages/core/src/subscription/options.ts'
import { ESDB_EVENTS_DEFAULTS } from '../../packages/esdb-adapter/src/options.ts'
import { POSTGRES_EVENTS_DEFAULTS } from '../../packages/pg-adapter/src/options.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const functions = readOptions(repository)

test('docs/options.md is what `pnpm docs:options` makes', () => {
  expect(readFileSync(`${repository}docs/options.md`, 'utf8')).toBe(optionsPage(functions))
})

test('every option says what it is, its unit and default, what changing it costs, and when to change it', () => {
  expect(functions.flatMap(({ options }) => options.flatMap(faultsOf))).toEqual([])
})

test.each([
  ['createDaemon', { ...DAEMON_DEFAULTS, ...HIGH_WATER_AGENT_DEFAULTS }],
  ['createHighWaterAgent', HIGH_WATER_AGENT_DEFAULTS],
  ['Projection', PROJECTION_DEFAULTS],
  ['monitorSubscription', MONITOR_DEFAULTS],
  ['esdbEvents', ESDB_EVENTS_DEFAULTS],
  ['postgresEvents', { position: `'${POSTGRES_EVENTS_DEFAULTS.position}'` }],
] as const)('the documented defaults of %s are those in force', (name, defaults) => {
  const options = functions.find((of) => of.name === name)?.options ?? []
  const documented = Object.fromEntries(options.map((option) => [option.name, option.default]))
  for (const [option, value] of Object.entries(defaults)) expect(documented[option]).toBe(String(value))
})
