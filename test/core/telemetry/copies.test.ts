import { fileURLToPath } from 'node:url'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import type { GaugeName } from '@tidemark/core'
import type * as OpenTelemetryBackend from '@tidemark/core/opentelemetry'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import type * as PromClientBackend from '@tidemark/core/prom-client'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { recording, rig, stopAll } from '../rig.ts'
import { prometheusSdk, samplesOf } from './scrape.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

/** What `tsc -b` made of the package: another copy than the sources that tests run on, with the same prom-client. */
const copy = (name: string): string =>
  fileURLToPath(new URL(`../../../packages/core/dist/telemetry/${name}.js`, import.meta.url))
const other = {
  promClientMetrics: ((await import(copy('prom-client'))) as typeof PromClientBackend).promClientMetrics,
  openTelemetryMetrics: ((await import(copy('opentelemetry'))) as typeof OpenTelemetryBackend)
    .openTelemetryMetrics,
}

const registry = new Registry()
const { meterProvider, scrape } = prometheusSdk({ withoutScopeInfo: true })

const backends = [
  {
    name: 'prom-client registry',
    first: promClientMetrics({ registry }),
    second: other.promClientMetrics({ registry }),
    scrape: () => registry.metrics(),
    suffix: '',
  },
  {
    name: 'meter provider',
    first: openTelemetryMetrics({ meterProvider }),
    second: other.openTelemetryMetrics({ meterProvider }),
    scrape,
    suffix: '_total',
  },
]

test('the copy is another one', () => {
  expect(other.promClientMetrics).not.toBe(promClientMetrics)
  expect(meterProvider).toBeInstanceOf(MeterProvider)
})

test.each(backends)(
  'two copies of this package on one $name: counters go on, and each gauge is shown once',
  async ({ first, second, scrape, suffix }) => {
    const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() }
    const { clock, events, daemon } = rig()
    const processed = `martend_async_daemon_processed_events${suffix}{projection_name="all"}`
    const state = (of: string) => `martend_async_daemon_projection_state{projection_name="all",state="${of}"}`
    const before = daemon([recording('all')], { metrics: first, logger })
    await before.start()
    events.append('a', 1)
    await clock.advance(1_000)
    expect(samplesOf(await scrape()).get(processed)).toBe(1)

    // As a hot reload does: the old one is stopped, and the new one started with the library loaded anew.
    await clock.run(before.stop())
    expect(samplesOf(await scrape()).get(state('live')) ?? 0).toBe(0)
    const after = daemon([recording('all')], { metrics: second, logger })
    await after.start()
    events.append('a', 2)
    await clock.advance(1_000)
    const samples = samplesOf(await scrape())
    expect(samples.get(processed)).toBe(2)
    expect(samples.get('martend_async_daemon_high_water_mark{source="in-memory"}')).toBe(2)
    expect(samples.get(state('live'))).toBe(1)

    // Both at once, which share what they show.
    await daemon([recording('mailer')], { metrics: first, logger }).start()
    await clock.advance(1_000)
    const both = samplesOf(await scrape())
    expect(both.get(state('live'))).toBe(1)
    expect(both.get(state('live').replace('all', 'mailer'))).toBe(1)
    expect(logger.warn).not.toHaveBeenCalled()
  },
)

test('a registry that is cleared is filled again by either copy, with the values it had', async () => {
  const cleared = new Registry()
  const first = promClientMetrics({ registry: cleared }).open(console)
  const second = other.promClientMetrics({ registry: cleared }).open(console)
  second.observe(() => [{ gauge: 'open_gaps', value: 3, labels: { source: 's' } }])
  first.add('polls', 1, { source: 's', outcome: 'moved' })
  cleared.clear()
  second.add('polls', 1, { source: 's', outcome: 'moved' })
  cleared.clear()
  first.add('polls', 1, { source: 's', outcome: 'moved' })
  const samples = samplesOf(await cleared.metrics())
  expect(samples.get('martend_async_daemon_polls{outcome="moved",source="s"}')).toBe(3)
  expect(samples.get('martend_async_daemon_open_gaps{source="s"}')).toBe(3)
})

test.each(backends)(
  'a gauge that only another version of the package knows does not spoil a collection of $name',
  async ({ first, scrape }) => {
    const recorder = first.open(console)
    const unknown = { gauge: 'of_a_later_version' as GaugeName, value: 1, labels: { source: 's' } }
    const withdraw = recorder.observe(() => [
      unknown,
      { gauge: 'open_gaps', value: 3, labels: { source: 's' } },
    ])
    const withdrawOther = recorder.observe(() => [{ ...unknown, value: 2 }])
    expect(samplesOf(await scrape()).get('martend_async_daemon_open_gaps{source="s"}')).toBe(3)
    withdraw()
    withdrawOther()
    await scrape()
  },
)
