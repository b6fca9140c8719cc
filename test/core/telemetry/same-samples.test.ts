import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { type TelemetryScenario, telemetryScenario } from '../../support/telemetry-scenario.ts'
import { prometheusSdk, samplesOf } from './scrape.ts'

// Standbys look at random times, and what failed is tried again at random ones.
vi.spyOn(Math, 'random').mockReturnValue(0.5)

const scenarios: TelemetryScenario[] = []
afterEach(async () => {
  for (const scenario of scenarios.splice(0)) await scenario.stop()
})

async function throughPromClient(): Promise<ReadonlyMap<string, number>> {
  const registry = new Registry()
  scenarios.push(await telemetryScenario(promClientMetrics({ registry })))
  return samplesOf(await registry.metrics())
}

async function throughOpenTelemetry(withoutScopeInfo: boolean): Promise<ReadonlyMap<string, number>> {
  const { meterProvider, scrape } = prometheusSdk({ withoutScopeInfo, withoutTargetInfo: false })
  scenarios.push(await telemetryScenario(openTelemetryMetrics({ meterProvider })))
  return samplesOf(await scrape())
}

/** Counters without `_total`, no scope labels, no `target_info`. */
function comparable(samples: ReadonlyMap<string, number>): Record<string, number> {
  const entries = [...samples].flatMap(([series, value]): [string, number][] => {
    if (series.startsWith('target_info')) return []
    const bare = series
      .replace(/_total(?=\{|$)/, '')
      .replace(/otel_scope_name="[^"]*",?/, '')
      .replace(/,\}/, '}')
      .replace('{}', '')
    return [[bare, value]]
  })
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

test.each([
  ['with scope labels', false],
  ['without scope labels', true],
])('the same run gives the same whole scrape through both backends, %s', async (_, withoutScopeInfo) => {
  const prom = await throughPromClient()
  const otel = await throughOpenTelemetry(withoutScopeInfo)
  expect(prom.size).toBeGreaterThan(150)
  expect([...otel.keys()].some((series) => series.includes('otel_scope_name'))).toBe(!withoutScopeInfo)
  expect(comparable(otel)).toEqual(comparable(prom))
})

test('counters differ only in their suffix, which the other backend can be given too', async () => {
  const registry = new Registry()
  scenarios.push(await telemetryScenario(promClientMetrics({ registry, counterSuffix: '_total' })))
  const prom = samplesOf(await registry.metrics())
  const otel = await throughOpenTelemetry(true)
  const names = (samples: ReadonlyMap<string, number>): string[] =>
    [...samples.keys()].filter((series) => !series.startsWith('target_info')).sort()
  expect(names(prom)).toEqual(names(otel))
})
