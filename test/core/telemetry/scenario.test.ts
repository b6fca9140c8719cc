import { INSTRUMENTS, type InstrumentName } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { telemetryScenario } from '../../support/telemetry-scenario.ts'
import { samplesOf } from './scrape.ts'

test('the scenario produces every instrument, with every label value that can be had, and more than 0', async () => {
  const registry = new Registry()
  const scenario = await telemetryScenario(promClientMetrics({ registry }))
  // The dead letters are counted for the scrape after the one that asks.
  await registry.metrics()
  const samples = samplesOf(await registry.metrics())
  await scenario.stop()
  const wanted: readonly string[] = Object.entries(INSTRUMENTS).map(([name, { kind }]) =>
    kind === 'histogram' ? `${name}_count` : name,
  )
  const produced = (name: string): number =>
    [...samples].reduce(
      (sum, [series, value]) =>
        sum + (series.replace(/\{.*/, '') === `martend_async_daemon_${name}` ? value : 0),
      0,
    )
  expect(wanted.filter((name) => !(produced(name) > 0))).toEqual([])

  const unseen = (Object.keys(INSTRUMENTS) as InstrumentName[]).flatMap((name) =>
    Object.entries(INSTRUMENTS[name].labels).flatMap(([label, values]) =>
      typeof values === 'string'
        ? []
        : values
            .filter(
              (value) =>
                ![...samples].some(
                  ([series, amount]) =>
                    series.startsWith(`martend_async_daemon_${name}`) &&
                    series.includes(`${label}="${value}"`) &&
                    amount > 0,
                ),
            )
            .map((value) => `${name} ${label}=${value}`),
    ),
  )
  expect(unseen).toEqual([
    // They pass while the scenario runs.
    'projection_state state=catching_up',
    'projection_state state=retrying',
    'projection_state state=stopped',
  ])
})
