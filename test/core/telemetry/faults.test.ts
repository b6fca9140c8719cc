import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { trace } from '@opentelemetry/api'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import {
  type CounterName,
  type GaugeName,
  type GaugeReading,
  type HistogramName,
  INSTRUMENTS,
  type InstrumentName,
  type Labels,
  type Metrics,
  type MetricsRecorder,
} from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { guardRecorder } from '../../../packages/core/src/telemetry/guard-recorder.ts'
import { never } from '../../support/never.ts'
import { altered, gate, recording, rig, stopAll } from '../rig.ts'
import { samplesOf } from './scrape.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  trace.disable()
})

const fail = (): never => {
  throw new Error('telemetry')
}
const reject = (): never => Promise.reject(new Error('telemetry')) as never

/** Ten events in five batches, of which the third fails once. */
async function projects(options: Parameters<ReturnType<typeof rig>['daemon']>[1]): Promise<void> {
  const { clock, checkpoints, events, daemon } = rig()
  const seen: bigint[] = []
  let calls = 0
  const running = daemon(
    [
      {
        name: 'all',
        handle: (batch) => {
          if (++calls === 3) throw new Error('once')
          seen.push(...batch.map(({ position }) => position))
        },
      },
    ],
    options,
  )
  await running.start()
  for (let i = 0; i < 5; i++) {
    events.append('a', i)
    const slow = events.begin()
    slow.append('a', i)
    await clock.advance(4_000)
    slow.commit()
    await clock.advance(500)
  }
  expect(seen).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n])
  await clock.run(running.stop())
  expect(
    (await checkpoints.open(wholeUnit('all'), { source: events.name, head: undefined }, never())).position,
  ).toBe('10')
}

describe('projections go on with nothing lost', () => {
  test.each([
    ['throws', fail],
    ['rejects, being async by mistake', reject],
  ])('with a recorder that %s on each call', async (_, call) => {
    const errors = vi.fn()
    const metrics: Metrics = { open: () => ({ add: call, record: call, observe: call }) }
    await projects({ metrics, onTelemetryError: errors })
    expect(errors.mock.calls.length).toBeGreaterThan(20)
  })

  test('with metrics that cannot be opened', async () => {
    const errors = vi.fn()
    await projects({ metrics: { open: fail }, onTelemetryError: errors })
    expect(errors).toHaveBeenCalledTimes(1)
  })

  test('with everything at once that throws: metrics, telemetry, logger, traceContext, onTelemetryError', async () => {
    await projects({
      metrics: { open: () => ({ add: fail, record: fail, observe: () => fail }) },
      telemetry: {
        polled: fail,
        pollFailed: fail,
        batchProcessed: fail,
        handlerFailed: fail,
        checkpointConflict: fail,
        skipped: fail,
        projectionStateChanged: fail,
      },
      logger: { info: fail, warn: fail, error: fail },
      traceContext: fail,
      onTelemetryError: fail,
    })
  })

  test.each(['getTracer', 'startSpan', 'setAttribute', 'setStatus', 'recordException', 'end'])(
    'with a tracer whose %s throws',
    async (broken) => {
      const span = new Proxy(
        {},
        {
          get: (_, method) => {
            if (method === broken) return fail
            return method === 'spanContext' ? () => ({ traceId: '', spanId: '', traceFlags: 0 }) : () => span
          },
        },
      )
      trace.setGlobalTracerProvider({
        getTracer: () => {
          if (broken === 'getTracer') fail()
          return { startSpan: broken === 'startSpan' ? fail : () => span, startActiveSpan: fail } as never
        },
      })
      const errors = vi.fn()
      await projects({ onTelemetryError: errors })
      expect(errors).toHaveBeenCalled()
    },
  )

  test('with a registry that is cleared over and over, and the counters lose nothing', async () => {
    const registry = new Registry()
    const { clock, events, daemon } = rig()
    const all = recording('all')
    await daemon([all], { metrics: promClientMetrics({ registry }) }).start()
    for (let i = 0; i < 10; i++) {
      events.append('a', i)
      await clock.advance(700)
      registry.clear()
      await clock.advance(700)
    }
    await clock.advance(2_000)
    expect(all.seen).toHaveLength(10)
    const samples = samplesOf(await registry.metrics())
    expect(samples.get('martend_async_daemon_processed_events{projection_name="all"}')).toBe(10)
    expect(samples.get('martend_async_daemon_batch_size_events_sum{projection_name="all"}')).toBe(10)
    expect(samples.get('martend_async_daemon_high_water_mark{source="in-memory"}')).toBe(10)
  })

  test('with an OTLP endpoint that never answers', async () => {
    const asked = gate()
    const server = createServer(() => asked.open())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const url = `http://127.0.0.1:${port}/v1/metrics`
    const exporter = new OTLPMetricExporter({ url, timeoutMillis: 3_000 })
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e8 })
    const meterProvider = new MeterProvider({ readers: [reader] })
    const metrics = openTelemetryMetrics({ meterProvider })
    await projects({ metrics })
    let answered = false
    const exporting = meterProvider.forceFlush().finally(() => {
      answered = true
    })
    exporting.catch(() => {})
    try {
      await asked.promise
      await projects({ metrics })
      expect(answered, 'all of it was done while the export hung').toBe(false)
    } finally {
      server.closeAllConnections()
      server.close()
      await meterProvider.shutdown().catch(() => {})
    }
  })
})

describe('a backend is only given numbers', () => {
  // In OTLP's JSON a double that is no number is null, and a collector refuses the whole request.
  const nulls = (json: unknown, path = ''): string[] => {
    if (json === null) return [path]
    if (typeof json !== 'object') return []
    return Object.entries(json).flatMap(([key, value]) => nulls(value, `${path}.${key}`))
  }
  /** The requests that a collector receives. */
  const exported = async (
    scenario: (metrics: Metrics, collect: () => Promise<void>) => Promise<void>,
  ): Promise<unknown[]> => {
    const requests: unknown[] = []
    const collector = createServer((request, response) => {
      void text(request).then((body) => {
        requests.push(JSON.parse(body))
        response.end('{}')
      })
    })
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
    const { port } = collector.address() as AddressInfo
    const exporter = new OTLPMetricExporter({ url: `http://127.0.0.1:${port}/v1/metrics` })
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e8 })
    const meterProvider = new MeterProvider({ readers: [reader] })
    try {
      await scenario(openTelemetryMetrics({ meterProvider }), () => meterProvider.forceFlush())
      await meterProvider.shutdown()
      return requests
    } finally {
      collector.close().closeAllConnections()
    }
  }

  test('so that every OTLP export is whole: before and after a gap, after stop()', async () => {
    const requests = await exported(async (metrics, collect) => {
      const { clock, events, daemon } = rig()
      const running = daemon([recording('all')], { metrics })
      await running.start()
      events.append('a', 1)
      await clock.advance(1_000)
      await collect()
      const slow = events.begin()
      slow.append('a', 1)
      events.append('a', 1)
      await clock.advance(2_000)
      await collect()
      slow.commit()
      await clock.advance(1_000)
      await collect()
      await clock.run(running.stop())
    })
    expect(requests).toHaveLength(4)
    expect(requests.flatMap((request) => nulls(request))).toEqual([])
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'whatever a source makes of its positions (%s): it is left out, and told',
    async (nonsense) => {
      const errors: unknown[] = []
      const registry = new Registry()
      const scenario = async (metrics: Metrics): Promise<void> => {
        const { clock, events, daemon } = rig()
        const source = altered(events, { order: { ...events.order, approximate: () => nonsense } })
        events.append('a', 1)
        await daemon([recording('all')], {
          source,
          metrics,
          onTelemetryError: (error) => errors.push(error),
        }).start()
        await clock.advance(100)
      }
      const requests = await exported(scenario)
      expect(requests.flatMap((request) => nulls(request))).toEqual([])
      await scenario(promClientMetrics({ registry }))
      const samples = samplesOf(await registry.metrics())
      expect([...samples.values()].filter((value) => !Number.isFinite(value))).toEqual([])
      expect([...samples.keys()].filter((series) => series.includes('high_water_mark{'))).toEqual([])
      expect(samples.get('martend_async_daemon_processed_events{projection_name="all"}')).toBe(1)
      expect(String(errors[0])).toContain(`high_water_mark would be ${nonsense}`)
    },
  )

  test.each(Object.keys(INSTRUMENTS) as InstrumentName[])('%s is never NaN, Infinity or negative', (name) => {
    const given: number[] = []
    const errors = vi.fn()
    let shown: readonly GaugeReading[] = []
    const recorder = guardRecorder(
      {
        add: (_, value) => void given.push(value),
        record: (_, value) => void given.push(value),
        observe: (collect) => {
          shown = [...collect()]
          return () => {}
        },
      },
      errors,
    )
    const { kind } = INSTRUMENTS[name]
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      if (kind === 'counter') recorder.add(name as CounterName, value, {})
      else if (kind === 'histogram') recorder.record(name as HistogramName, value, {})
      else recorder.observe(() => [{ gauge: name as GaugeName, value, labels: {} }])
      expect(shown).toEqual([])
    }
    expect(given).toEqual([])
    expect(errors).toHaveBeenCalledTimes(3)
    if (kind !== 'histogram') return
    recorder.record(name as HistogramName, -0.2, {})
    expect(given, 'a clock that was set back').toEqual([0])
  })
})

describe('errors of telemetry', () => {
  function counting(except: (counter: CounterName) => boolean) {
    const counts = new Map<string, number>()
    const recorder: MetricsRecorder = {
      add: (counter: CounterName, value: number, _: Labels) => {
        if (except(counter)) fail()
        counts.set(counter, (counts.get(counter) ?? 0) + value)
      },
      record: () => {},
      observe: () => () => {},
    }
    return { counts, metrics: { open: () => recorder } }
  }

  test('are counted, and one metric that fails does not keep the others from being reported', async () => {
    const { counts, metrics } = counting((counter) => counter === 'polls')
    const errors = vi.fn()
    await projects({ metrics, onTelemetryError: errors })
    expect(counts.get('processed_events')).toBe(10)
    expect(counts.get('telemetry_errors')).toBe(errors.mock.calls.length)
  })

  test('are counted for telemetry, spans and gauges alike', async () => {
    const registry = new Registry()
    const { clock, events, daemon } = rig()
    trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: fail, startActiveSpan: fail }) as never })
    const errors: unknown[] = []
    const source = altered(events, { order: { ...events.order, approximate: fail } })
    events.append('a', 1)
    await daemon([recording('all')], {
      source,
      metrics: promClientMetrics({ registry }),
      telemetry: { batchProcessed: fail },
      onTelemetryError: (error) => errors.push(error),
    }).start()
    await clock.advance(100)
    expect(errors, 'the batch span and the telemetry').toHaveLength(2)
    await registry.metrics()
    expect(errors.length, 'a scrape whose gauges cannot be computed is still a scrape').toBeGreaterThan(2)
    const samples = samplesOf(await registry.metrics())
    expect(samples.get('martend_async_daemon_telemetry_errors')).toBeGreaterThanOrEqual(3)
    expect(samples.get('martend_async_daemon_processed_events{projection_name="all"}')).toBe(1)
  })

  test("are not what the handler's own errors are", async () => {
    const { clock, events, daemon } = rig()
    const errors = vi.fn()
    events.append('a', 1)
    await daemon([{ name: 'all', handle: fail, attempts: 1 }], { onTelemetryError: errors }).start()
    await clock.advance(1_000)
    expect(errors).not.toHaveBeenCalled()
  })
})
