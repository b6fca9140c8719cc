import { MARK_SKIP_REASONS } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Counter, Gauge, Registry, register } from 'prom-client'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { GuessingStore } from '../../support/guessing-store.ts'
import { gate, recording, rig, stopAll } from '../rig.ts'
import { namesOf, samplesOf } from './scrape.ts'

let registry: Registry
beforeEach(() => {
  registry = new Registry()
})
afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  register.clear()
})

const linesOf = async (metric: string): Promise<string[]> =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith(`${metric}{`))

describe('a scrape in the Prometheus format', () => {
  test('has the documented name and labels for what was skipped, to the letter', async () => {
    const { clock, daemon } = rig()
    const store = new GuessingStore(clock)
    store.show(1n)
    const running = daemon([recording('balances')], {
      source: store.source(),
      metrics: promClientMetrics({ registry }),
    })
    await running.start()
    await clock.advance(2_000)
    store.show(4n)
    await clock.advance(3_000)
    expect(await linesOf('martend_async_daemon_skipped_events')).toEqual([
      'martend_async_daemon_skipped_events{projection_name="balances",reason="stale_high_water_mark"} 2',
      'martend_async_daemon_skipped_events{projection_name="balances",reason="historical_gap"} 0',
      'martend_async_daemon_skipped_events{projection_name="balances",reason="apply_error"} 0',
    ])
  })

  test('computes where everything stands once, for all gauges', async () => {
    const recorder = promClientMetrics({ registry }).open(console)
    const collect = vi.fn(() => [])
    recorder.observe(collect)
    await registry.metrics()
    expect(collect).toHaveBeenCalledTimes(1)
    await Promise.all([registry.metrics(), registry.getMetricsAsJSON()])
    await registry.metrics()
    expect(collect).toHaveBeenCalledTimes(3)
  })

  test('has 0 for every projection and reason before the first batch', async () => {
    const { daemon, events } = rig()
    events.append('a', 1)
    const handling = gate()
    const running = daemon([{ name: 'a', handle: () => handling.promise }, recording('b')], {
      metrics: promClientMetrics({ registry }),
    })
    await running.start()
    const samples = samplesOf(await registry.metrics())
    for (const projection of ['a', 'b']) {
      for (const reason of MARK_SKIP_REASONS) {
        const series = `martend_async_daemon_skipped_events{projection_name="${projection}",reason="${reason}"}`
        expect(samples.get(series), series).toBe(0)
      }
      expect(samples.get(`martend_async_daemon_processed_events{projection_name="${projection}"}`)).toBe(0)
    }
    expect(samples.get('martend_async_daemon_telemetry_errors')).toBe(0)
    handling.open()
  })

  test('has no exemplars, and an open span is no error', async () => {
    const recorder = promClientMetrics({ registry }).open(console)
    const exemplar = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }
    recorder.record('batch_duration_seconds', 0.02, { projection_name: 'a' }, exemplar)
    const scrape = await registry.metrics()
    expect(scrape).not.toContain('trace_id')
    expect(
      samplesOf(scrape).get('martend_async_daemon_batch_duration_seconds_count{projection_name="a"}'),
    ).toBe(1)
  })

  test('takes another prefix for all metrics, and a suffix for the counters', async () => {
    const { daemon } = rig()
    const running = daemon([recording('a')], {
      metrics: promClientMetrics({ registry, prefix: 'shop_', counterSuffix: '_total' }),
    })
    await running.start()
    const exposed = await registry.metrics()
    expect(exposed).not.toContain('martend')
    const names = namesOf(samplesOf(exposed), 'shop_')
    expect(names).toContain('skipped_events_total')
    expect(names).toContain('projection_state')
    expect(names).not.toContain('skipped_events')
  })

  test('is of the global registry where none is given', async () => {
    const { daemon } = rig()
    await daemon([recording('a')], { metrics: promClientMetrics() }).start()
    expect(namesOf(samplesOf(await register.metrics()))).toContain('skipped_events')
  })
})

test.each([
  ['prefix', { prefix: '1st_' }],
  ['prefix', { prefix: 'with-dash_' }],
  ['prefix', { prefix: '' }],
  ['counterSuffix', { counterSuffix: '_sum' as never }],
])('%s is checked at construction: %o', (option, options) => {
  expect(() => promClientMetrics(options)).toThrow(option)
})

describe('on one registry', () => {
  test('two daemons, each with its promClientMetrics(), share their metrics without clash', async () => {
    const first = rig()
    const second = rig()
    first.events.append('a', 1)
    const metrics = () => promClientMetrics({ registry })
    await first.daemon([recording('one')], { metrics: metrics() }).start()
    await second.daemon([recording('two')], { metrics: metrics() }).start()
    await first.clock.advance(100)
    await second.clock.advance(100)
    const samples = samplesOf(await registry.metrics())
    expect(samples.get('martend_async_daemon_processed_events{projection_name="one"}')).toBe(1)
    expect(samples.get('martend_async_daemon_projection_state{projection_name="one",state="live"}')).toBe(1)
    expect(samples.get('martend_async_daemon_projection_state{projection_name="two",state="live"}')).toBe(1)
  })

  test('an owner and its standby both show their state; the standby shows nothing else', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const metrics = promClientMetrics({ registry })
    const standbyRegistry = new Registry()
    const busy = gate()
    const owner = daemon([{ name: 'all', handle: () => busy.promise }], { metrics })
    await owner.start()
    await clock.settle()
    await daemon([recording('all')], { metrics }).start()
    await daemon([recording('all')], { metrics: promClientMetrics({ registry: standbyRegistry }) }).start()
    await clock.settle()
    const both = samplesOf(await registry.metrics())
    expect(both.get('martend_async_daemon_projection_state{projection_name="all",state="catching_up"}')).toBe(
      1,
    )
    expect(both.get('martend_async_daemon_projection_state{projection_name="all",state="standby"}')).toBe(1)
    const standby = samplesOf(await standbyRegistry.metrics())
    const gauges = namesOf(standby).filter(
      (name) => name.startsWith('projection_') || name.endsWith('recorded'),
    )
    expect(gauges).toEqual(['projection_state'])
    busy.open()
  })

  test.each([
    [
      'counter',
      () =>
        new Counter({
          name: 'martend_async_daemon_skipped_events',
          help: 'mine',
          labelNames: ['mine'],
          registers: [registry],
        }),
    ],
    [
      'gauge',
      () => new Gauge({ name: 'martend_async_daemon_open_gaps', help: 'mine', registers: [registry] }),
    ],
  ] as const)(
    "a user's %s of the same name stays theirs: projections run, one warning names it, the rest is exported",
    async (_, make) => {
      const { clock, events, daemon } = rig()
      const mine = make() as unknown as { name: string }
      const all = recording('a')
      const logger = { info: vi.fn(), warn: vi.fn(), error: vi.fn() }
      const onTelemetryError = vi.fn()
      events.append('a', 1)
      await daemon([all], {
        metrics: promClientMetrics({ registry }),
        logger,
        onTelemetryError,
      }).start()
      await clock.advance(3_000)
      expect(all.seen).toHaveLength(1)
      expect(registry.getSingleMetric(mine.name)).toBe(mine)
      expect(logger.warn.mock.calls).toEqual([[expect.stringContaining(`already has ${mine.name} from`)]])
      expect(onTelemetryError).not.toHaveBeenCalled()
      const samples = samplesOf(await registry.metrics())
      expect(samples.get('martend_async_daemon_processed_events{projection_name="a"}')).toBe(1)
      expect(samples.get('martend_async_daemon_high_water_mark{source="in-memory"}')).toBe(1)
    },
  )

  test('two daemons may choose different suffixes: gauges are shared, counters have both names', async () => {
    const { daemon } = rig()
    await daemon([recording('a')], { metrics: promClientMetrics({ registry }) }).start()
    await daemon([recording('b')], {
      metrics: promClientMetrics({ registry, counterSuffix: '_total' }),
    }).start()
    const samples = samplesOf(await registry.metrics())
    expect(samples.get('martend_async_daemon_processed_events{projection_name="a"}')).toBe(0)
    expect(samples.get('martend_async_daemon_processed_events_total{projection_name="b"}')).toBe(0)
    for (const name of ['a', 'b']) {
      expect(
        samples.has(`martend_async_daemon_projection_state{projection_name="${name}",state="paused"}`),
      ).toBe(true)
    }
  })

  test('cleared in mid-run everything is there again after the next poll, with the values it had', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    await daemon([recording('all')], { metrics: promClientMetrics({ registry }) }).start()
    await clock.advance(100)
    // Open dead letters are read when a scrape asks, and shown at the next one.
    await registry.metrics()
    await clock.advance(100)
    const before = await registry.metrics()
    registry.clear()
    expect(await registry.metrics()).toBe('\n')
    await clock.advance(3_000)
    const after = await registry.metrics()
    expect(namesOf(samplesOf(after))).toEqual(namesOf(samplesOf(before)))
    expect(samplesOf(after).get('martend_async_daemon_processed_events{projection_name="all"}')).toBe(1)
  })

  test.each(['add', 'record'] as const)('cleared, a single %s() brings everything back', async (method) => {
    const recorder = promClientMetrics({ registry }).open(console)
    recorder.observe(() => [{ gauge: 'open_gaps', value: 1, labels: { source: 's' } }])
    registry.clear()
    if (method === 'add') recorder.add('polls', 1, { source: 's', outcome: 'moved' })
    else recorder.record('poll_duration_seconds', 1, { source: 's' })
    const samples = samplesOf(await registry.metrics())
    expect(samples.get('martend_async_daemon_open_gaps{source="s"}')).toBe(1)
    expect(registry.getMetricsAsArray().length).toBeGreaterThan(20)
  })

  test('cleared, a metric that the user then makes of that name is not mistaken for ours', async () => {
    const { clock, daemon } = rig()
    await daemon([recording('all')], { metrics: promClientMetrics({ registry }) }).start()
    registry.clear()
    const mine = new Gauge({ name: 'martend_async_daemon_polls', help: 'mine', registers: [registry] })
    await clock.advance(3_000)
    expect(registry.getSingleMetric('martend_async_daemon_polls')).toBe(mine)
    expect((await mine.get()).values).toEqual([{ value: 0, labels: {} }])
  })
})

describe('gauges', () => {
  test('are withdrawn by stop(), and what was counted stays', async () => {
    const { clock, events, daemon } = rig()
    events.append('a', 1)
    const running = daemon([recording('all')], { metrics: promClientMetrics({ registry }) })
    await running.start()
    await clock.advance(100)
    expect(namesOf(samplesOf(await registry.metrics()))).toContain('high_water_mark')
    await clock.run(running.stop())
    const names = namesOf(samplesOf(await registry.metrics()))
    expect(
      names.filter((name) => /^(high_water|projection_|open_|settled|store|last_|gap_holders)/.test(name)),
    ).toEqual([])
    expect(names).toContain('processed_events')
  })

  test('of one daemon that stops leave those of the other', async () => {
    const first = rig()
    const second = rig()
    const metrics = promClientMetrics({ registry })
    const stopping = first.daemon([recording('one')], { metrics })
    await stopping.start()
    await second.daemon([recording('two')], { metrics }).start()
    await first.clock.run(stopping.stop())
    const series = [...samplesOf(await registry.metrics()).keys()].filter((name) =>
      name.includes('projection_state'),
    )
    expect(series.filter((name) => name.includes('"one"'))).toEqual([])
    expect(series.filter((name) => name.includes('"two"'))).not.toEqual([])
  })
})

describe('an OpenMetrics registry', () => {
  const openMetrics = () => {
    const made = new Registry()
    made.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
    return made
  }
  const exemplar = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }

  test.each(['', '_total'] as const)(
    'has _total once, whatever counterSuffix says ("%s"), at each scrape',
    async (counterSuffix) => {
      const made = openMetrics()
      const recorder = promClientMetrics({ registry: made, counterSuffix }).open(console)
      for (let scrape = 1; scrape <= 2; scrape++) {
        recorder.add('polls', 1, { source: 's', outcome: 'moved' })
        const lines = (await made.metrics()).split('\n').filter((line) => line.includes('polls_total'))
        expect(lines).toEqual([`martend_async_daemon_polls_total{source="s",outcome="moved"} ${scrape}`])
      }
    },
  )

  test('has the trace of a batch as the exemplar of its duration', async () => {
    const made = openMetrics()
    const recorder = promClientMetrics({ registry: made }).open(console)
    recorder.record('batch_duration_seconds', 0.02, { projection_name: 'a' }, exemplar)
    recorder.record('batch_duration_seconds', 0.2, { projection_name: 'a' })
    const scrape = await made.metrics()
    expect(scrape).toMatch(
      /martend_async_daemon_batch_duration_seconds_bucket\{le="0.025",projection_name="a"\} 1 # \{trace_id="0af7651916cd43dd8448eb211c80319c",span_id="b7ad6b7169203331"\} 0.02 /,
    )
    expect(scrape.match(/trace_id/g)).toHaveLength(1)
  })
})
