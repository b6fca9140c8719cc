import { metrics as api } from '@opentelemetry/api'
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { INSTRUMENTS, type InstrumentName, MARK_SKIP_REASONS } from '@tidemark/core'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { gate, recording, rig, stopAll } from '../rig.ts'
import { namesOf, prometheusSdk, samplesOf } from './scrape.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  api.disable()
})

const silent = () => ({ info: vi.fn(), warn: vi.fn(), error: vi.fn() })

describe('through the Prometheus exporter', () => {
  test('what was skipped starts at 0 for every projection and reason before the first batch', async () => {
    const { daemon, events } = rig()
    const { meterProvider, scrape } = prometheusSdk({ withoutScopeInfo: true })
    events.append('a', 1)
    const busy = gate()
    await daemon([{ name: 'a', handle: () => busy.promise }], {
      metrics: openTelemetryMetrics({ meterProvider }),
    }).start()
    const samples = samplesOf(await scrape())
    for (const reason of MARK_SKIP_REASONS) {
      expect(
        samples.get(`martend_async_daemon_skipped_events_total{projection_name="a",reason="${reason}"}`),
      ).toBe(0)
    }
    busy.open()
  })

  test('two daemons share one provider without clash', async () => {
    const { meterProvider, scrape } = prometheusSdk()
    const first = rig()
    const second = rig()
    first.events.append('a', 1)
    await first.daemon([recording('one')], { metrics: openTelemetryMetrics({ meterProvider }) }).start()
    await second.daemon([recording('two')], { metrics: openTelemetryMetrics({ meterProvider }) }).start()
    await first.clock.advance(100)
    const samples = samplesOf(await scrape())
    const scope = 'otel_scope_name="@tidemark/core"'
    expect(samples.get(`martend_async_daemon_processed_events_total{${scope},projection_name="one"}`)).toBe(1)
    expect(
      samples.get(`martend_async_daemon_projection_state{${scope},projection_name="one",state="live"}`),
    ).toBe(1)
    expect(samples.get(`martend_async_daemon_processed_events_total{${scope},projection_name="two"}`)).toBe(0)
  })

  test('a gauge that has ended says so, not its last value, and comes back', async () => {
    const { clock, events, daemon } = rig()
    const { meterProvider, scrape } = prometheusSdk({ withoutScopeInfo: true })
    const metrics = openTelemetryMetrics({ meterProvider })
    events.append('a', 1)
    const running = daemon([recording('all')], { metrics })
    await running.start()
    await clock.advance(100)
    const open = events.begin()
    open.append('a', 1)
    events.append('a', 1)
    await clock.advance(5_000)
    const of = async (name: string, labels: string): Promise<number | undefined> =>
      samplesOf(await scrape()).get(`martend_async_daemon_${name}{${labels}}`)
    const store = 'source="in-memory"'
    const projection = 'projection_name="all"'
    expect(await of('oldest_gap_age_seconds', store)).toBeGreaterThan(0.5)
    expect(await of('high_water_mark_stale', store)).toBe(1)
    expect(await of('projection_state', `${projection},state="live"`)).toBe(1)
    await clock.run(running.stop())
    for (let scrapes = 0; scrapes < 2; scrapes++) {
      expect(await of('oldest_gap_age_seconds', store)).toBe(0)
      expect(await of('high_water_mark_stale', store)).toBe(0)
      expect(await of('last_successful_poll_timestamp_seconds', store)).toBe(-1)
      expect(await of('projection_state', `${projection},state="live"`)).toBe(0)
      expect(await of('projection_lag_positions', projection)).toBe(-1)
      expect(await of('high_water_mark', store), 'a position that was reached stays').toBe(1)
      expect(await of('processed_events_total', projection)).toBe(1)
    }
    open.rollback()
    await daemon([recording('all')], { metrics }).start()
    await clock.advance(100)
    expect(await of('high_water_mark', store)).toBe(3)
    expect(await of('projection_lag_positions', projection)).toBe(0)
    expect(await of('projection_state', `${projection},state="live"`)).toBe(1)
  })

  test('takes another prefix for all of them', async () => {
    const { daemon } = rig()
    const { meterProvider, scrape } = prometheusSdk()
    await daemon([recording('a')], {
      metrics: openTelemetryMetrics({ meterProvider, prefix: 'shop.' }),
    }).start()
    const exposed = await scrape()
    expect(exposed).not.toContain('martend')
    expect(namesOf(samplesOf(exposed), 'shop_')).toContain('skipped_events_total')
  })
})

test.each(['', '1st.', 'with space.'])(
  'a prefix that no instrument may have is an error at construction: "%s"',
  (prefix) => {
    expect(() => openTelemetryMetrics({ prefix })).toThrow('prefix')
  },
)

test('no instrument has the unit 1, which collectors turn into _ratio; histograms bring their buckets', async () => {
  expect(Object.values(INSTRUMENTS).filter(({ unit }) => unit === '1' || unit === '')).toEqual([])
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e8 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  const recorder = openTelemetryMetrics({ meterProvider }).open(silent())
  for (const name of Object.keys(INSTRUMENTS) as InstrumentName[]) {
    if (INSTRUMENTS[name].kind === 'histogram') recorder.record(name as never, 0.01, {})
    else if (INSTRUMENTS[name].kind === 'counter') recorder.add(name as never, 1, {})
  }
  recorder.observe(() =>
    (Object.keys(INSTRUMENTS) as InstrumentName[])
      .filter((name) => INSTRUMENTS[name].kind === 'gauge')
      .map((gauge) => ({ gauge: gauge as never, value: 1, labels: {} })),
  )
  await meterProvider.forceFlush()
  const made = exporter
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
  expect(made).toHaveLength(Object.keys(INSTRUMENTS).length)
  for (const { descriptor, dataPointType, dataPoints } of made) {
    const instrument = INSTRUMENTS[descriptor.name.replace('martend.async_daemon.', '') as InstrumentName]
    expect(descriptor.unit, descriptor.name).toBe(instrument.unit)
    expect(descriptor.description, descriptor.name).toBe(instrument.help)
    if (dataPointType !== DataPointType.HISTOGRAM) continue
    expect(dataPoints[0]?.value.buckets.boundaries, descriptor.name).toEqual(instrument.buckets)
  }
  await meterProvider.shutdown()
})

describe('the meter is looked up at start()', () => {
  test('an SDK that is set up after the daemon was made, and before start, gets everything', async () => {
    const { clock, daemon, events } = rig()
    events.append('a', 1)
    const logger = silent()
    const running = daemon([recording('a')], { metrics: openTelemetryMetrics(), logger })
    const { meterProvider, scrape } = prometheusSdk({ withoutScopeInfo: true })
    api.setGlobalMeterProvider(meterProvider)
    await running.start()
    await clock.advance(100)
    expect(
      samplesOf(await scrape()).get('martend_async_daemon_processed_events_total{projection_name="a"}'),
    ).toBe(1)
    expect(logger.warn).not.toHaveBeenCalled()
  })

  test('where there is none, one warning says so, and the work goes on', async () => {
    const { clock, daemon, events } = rig()
    events.append('a', 1)
    const logger = silent()
    const all = recording('a')
    await daemon([all], { metrics: openTelemetryMetrics(), logger }).start()
    for (let i = 0; i < 5; i++) {
      events.append('a', 1)
      await clock.advance(1_000)
    }
    expect(all.seen).toHaveLength(6)
    expect(logger.warn.mock.calls).toEqual([[expect.stringContaining('no meter provider')]])
  })

  test('the warning goes to the console where there is no logger', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    await rig()
      .daemon([recording('a')], { metrics: openTelemetryMetrics() })
      .start()
    expect(warn).toHaveBeenCalledTimes(1)
    warn.mockRestore()
  })
})
