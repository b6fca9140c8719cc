import { SpanStatusCode, trace } from '@opentelemetry/api'
import type { EventSource, PositionOrder } from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { GuessingStore } from '../../support/guessing-store.ts'
import { startOn } from '../../support/start.ts'
import { TimedStore } from '../../support/timed-store.ts'
import { altered, type Event, gate, recording, rig, stopAll } from '../rig.ts'
import { installTracing, spanId, traceId, traceparent } from './tracing-rig.ts'

let sdk: ReturnType<typeof installTracing>
beforeEach(() => {
  sdk = installTracing()
})
afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  sdk.uninstall()
})

const SKIPPED = /^marten\.projection\.skipped_events$/

describe('a skip', () => {
  async function skipping(order: PositionOrder<bigint> = denseOrder) {
    const made = rig()
    const store = new GuessingStore(made.clock)
    store.show(1n)
    const source: EventSource<bigint, Event> = altered<bigint, Event>(store.source(), { order })
    await made.daemon([recording('balances')], { source }).start()
    await made.clock.advance(2_000)
    store.showWith(5n, { traceparent: traceparent(7) })
    await made.clock.advance(3_000)
    const [span, ...others] = sdk.spans(SKIPPED)
    expect(others).toEqual([])
    if (!span) throw new Error('no span')
    return span
  }

  test('is a span with the documented attributes: counts are numbers, positions strings', async () => {
    const span = await skipping()
    expect(span.attributes).toEqual({
      'marten.skipped_events.count': 3,
      'marten.high_water_mark.stale': true,
      'marten.high_water_mark.stored': '1',
      'marten.high_water_mark.actual': '5',
      'marten.high_water_mark.difference': 4,
      'tidemark.projection.name': 'balances',
      'tidemark.skip.reason': 'stale_high_water_mark',
      'error.type': 'stale_high_water_mark',
    })
    expect(span.status.code).toBe(SpanStatusCode.ERROR)
    expect(span.status.message).toContain('3 positions')
  })

  test('is linked to the trace that appended the next event, and part of the trace of its batch', async () => {
    const span = await skipping()
    expect(span.links.map(({ context }) => context)).toMatchObject([
      { traceId: traceId(7), spanId: spanId(7) },
    ])
    const batch = sdk.spans(/^process balances$/).at(-1)
    expect(span.parentSpanContext?.spanId).toBe(batch?.spanContext().spanId)
  })

  test('has no count where positions are sparse: a distance is not a number of events', async () => {
    const { distance: _, ...sparse } = denseOrder
    const span = await skipping(sparse)
    expect(Object.keys(span.attributes).sort()).toEqual([
      'error.type',
      'marten.high_water_mark.actual',
      'marten.high_water_mark.stale',
      'marten.high_water_mark.stored',
      'tidemark.projection.name',
      'tidemark.skip.reason',
    ])
    expect(span.status.message).not.toMatch(/^\d/)
  })

  test('that is historical says that the mark was not stale', async () => {
    const { clock, daemon } = rig()
    const store = new GuessingStore(clock)
    store.show(1n, 4n)
    await daemon([recording('a'), recording('b')], { source: store.source() }).start()
    await clock.advance(3_000)
    const spans = sdk.spans(SKIPPED)
    expect(spans.map(({ attributes }) => attributes['tidemark.projection.name']).sort()).toEqual(['a', 'b'])
    for (const { attributes } of spans) {
      expect(attributes).toMatchObject({
        'marten.high_water_mark.stale': false,
        'tidemark.skip.reason': 'historical_gap',
      })
    }
  })
})

describe('a batch', () => {
  async function handled(
    metadata: readonly unknown[],
    options: Parameters<ReturnType<typeof rig>['daemon']>[1] = {},
    handle: () => Promise<void> | void = () => {},
  ) {
    const made = rig()
    const store = new TimedStore(made.clock)
    for (const each of metadata) store.append('a', each)
    await startOn(
      made.clock,
      made.daemon([{ name: 'all', handle, attempts: 1 }], { source: store.source, ...options }),
    )
    await made.clock.advance(100)
    const [span] = sdk.spans(/^process all$/)
    if (!span) throw new Error('no span')
    return span
  }

  test('is a span with projection, first and last position and count', async () => {
    const span = await handled([{}, {}, {}])
    expect(span.attributes).toEqual({
      'tidemark.projection.name': 'all',
      'messaging.operation.type': 'process',
      'messaging.batch.message_count': 3,
      'tidemark.batch.first_position': '1',
      'tidemark.batch.last_position': '3',
    })
    expect(span.status.code).toBe(SpanStatusCode.UNSET)
    expect(span.links).toEqual([])
  })

  test('ends at its last event, though a filter has looked further', async () => {
    const { clock, daemon } = rig()
    const store = new TimedStore(clock)
    store.append('wanted')
    store.append('other')
    await startOn(clock, daemon([recording('all', { eventTypes: ['wanted'] })], { source: store.source }))
    await clock.advance(100)
    expect(sdk.spans(/^process/)[0]?.attributes).toMatchObject({ 'tidemark.batch.last_position': '1' })
  })

  test('is linked to the traces that appended its events, wherever they say so, once for each span', async () => {
    const span = await handled([
      { traceparent: traceparent(1), tracestate: 'vendor=x' },
      { $traceId: traceId(2), $spanId: spanId(2) },
      JSON.stringify({ traceparent: traceparent(3) }),
      { traceparent: `00-${traceId(1)}-${spanId(1)}-00` },
      { traceparent: `00-${traceId(1)}-${spanId(9)}-01` },
    ])
    expect(span.links.map(({ context }) => [context.traceId, context.spanId])).toEqual([
      [traceId(1), spanId(1)],
      [traceId(2), spanId(2)],
      [traceId(3), spanId(3)],
      [traceId(1), spanId(9)],
    ])
    expect(span.links[0]?.context.traceState?.get('vendor')).toBe('x')
    expect(span.links.every(({ context }) => context.isRemote)).toBe(true)
  })

  test('ignores what is no trace context', async () => {
    const span = await handled([
      undefined,
      null,
      7,
      'no JSON',
      '{ broken',
      { traceparent: 'nonsense' },
      { traceparent: 7 },
      { traceparent: `00-${'0'.repeat(32)}-${spanId(1)}-01` },
      { traceparent: `00-${traceId(1)}-${'0'.repeat(16)}-01` },
      { traceparent: `ff-${traceId(1)}-${spanId(1)}-01` },
      { $traceId: traceId(1) },
      { $traceId: 'x', $spanId: 'y' },
    ])
    expect(span.links).toEqual([])
  })

  test('is linked to what the traceContext option finds, which may throw or answer nonsense', async () => {
    const traceContext = (event: Event) => {
      if (event.position === 1n) throw new Error('boom')
      if (event.position === 2n) return { traceparent: traceparent(2), tracestate: 7 as never }
      return { traceparent: traceparent(Number(event.position)) }
    }
    const span = await handled([{ traceparent: traceparent(100) }, {}, {}], { traceContext })
    expect(span.links.map(({ context }) => context.traceId)).toEqual([traceId(3)])
  })

  const as32Traces = Array.from({ length: 32 }, (_, i) => ({ traceparent: traceparent(i + 1) }))

  test('is linked to 32 distinct ones', async () => {
    const span = await handled([...as32Traces, ...as32Traces, {}])
    expect(span.links).toHaveLength(32)
    expect(span.attributes).not.toHaveProperty('tidemark.batch.unlinked_events')
  })

  test('is linked to no more than 32; the events from the 33rd trace on are a count', async () => {
    const span = await handled([...as32Traces, ...as32Traces, { traceparent: traceparent(33) }, {}])
    expect(span.links).toHaveLength(32)
    expect(span.attributes).toMatchObject({ 'tidemark.batch.unlinked_events': 2 })
  })

  test("is the parent of the handler's own spans", async () => {
    const span = await handled([{}], {}, async () => {
      await Promise.resolve()
      trace.getTracer('user').startActiveSpan('insert', (own) => own.end())
    })
    const [own] = sdk.spans(/^insert$/)
    expect(own?.parentSpanContext?.spanId).toBe(span.spanContext().spanId)
    expect(own?.spanContext().traceId).toBe(span.spanContext().traceId)
  })

  test('that fails has the error and its type', async () => {
    const span = await handled([{}], {}, () => {
      throw new RangeError('out of range')
    })
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'RangeError: out of range' })
    expect(span.attributes).toMatchObject({ 'error.type': 'RangeError' })
    expect(span.events).toMatchObject([{ name: 'exception' }])
  })

  test.each([
    // As `pg` makes them: all have the name "error".
    [Object.assign(new Error('duplicate key'), { name: 'error', code: '23505' }), '23505'],
    [Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [Object.assign(new TypeError('a code that is no text'), { code: 7 }), 'TypeError'],
    [Object.assign(new Error('without a name'), { name: '', code: '' }), '_OTHER'],
    ['no error at all', '_OTHER'],
  ])('that fails with %o has the error type %s', async (thrown, type) => {
    const span = await handled([{}], {}, () => {
      throw thrown
    })
    expect(span.attributes).toMatchObject({ 'error.type': type })
    const [exception] = span.events
    if (type !== '_OTHER' && type !== 'TypeError')
      expect(exception?.attributes).toMatchObject({ 'exception.type': type })
  })

  test('that finds another owner at work says so, and is no error', async () => {
    const { events, clock, daemon } = rig()
    const working = gate()
    await startOn(clock, daemon([{ name: 'all', handle: () => working.promise }]))
    await startOn(clock, daemon([recording('all')]))
    events.append('a', {})
    await clock.until(() => sdk.spans(/^process all$/).length > 0)
    const [span] = sdk.spans(/^process all$/)
    expect(span?.attributes).toMatchObject({ 'tidemark.checkpoint.conflict': true })
    expect(span?.attributes).not.toHaveProperty('error.type')
    expect(span?.status.code).toBe(SpanStatusCode.UNSET)
    expect(span?.events).toEqual([])
    working.open()
  })

  test('gives its trace to the exemplars of an OpenMetrics registry', async () => {
    const registry = new Registry()
    registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
    const span = await handled([{}], { metrics: promClientMetrics({ registry }) })
    const exposed = await registry.metrics()
    expect(exposed).toMatch(
      new RegExp(`batch_duration_seconds_bucket\\{.*# \\{trace_id="${span.spanContext().traceId}"`),
    )
  })

  test('opens no exemplar on a registry in the Prometheus format, and that is no error', async () => {
    const registry = new Registry()
    await handled([{}], { metrics: promClientMetrics({ registry }) })
    const exposed = await registry.metrics()
    expect(exposed).toContain('martend_async_daemon_telemetry_errors 0')
    expect(exposed).not.toContain('trace_id')
  })
})

describe('a movement of the mark that closed a gap', () => {
  test.each(['filled', 'proven_empty'] as const)(
    'is a span with its age, its holders and its outcome: %s',
    async (outcome) => {
      const { clock, daemon } = rig()
      const store = new TimedStore(clock)
      store.append()
      await startOn(clock, daemon([recording('all')], { source: store.source }))
      await clock.advance(100)
      const holder = store.begin()
      holder.append('a', {})
      store.append()
      await clock.advance(5_000)
      expect(sdk.spans(/gap/), 'not before it is closed').toEqual([])
      if (outcome === 'filled') holder.commit()
      else holder.rollback()
      await clock.advance(100)
      const [span, ...others] = sdk.spans(/gap/)
      expect(others).toEqual([])
      const { 'tidemark.gap.age_seconds': age, ...attributes } = span?.attributes ?? {}
      expect(attributes).toEqual({
        'tidemark.source.name': 'orders',
        'tidemark.gap.from': '2',
        'tidemark.gap.to': '2',
        'tidemark.gap.outcome': outcome,
        'tidemark.gaps_closed': 1,
        'tidemark.holder.pids': [4_711],
        'tidemark.holder.application_names': ['importer'],
      })
      expect(age).toBeGreaterThan(4)
      const [seconds = 0, nanos = 0] = span?.duration ?? []
      expect(seconds + nanos / 1e9).toBeCloseTo(Number(age), 3)
      expect(span?.startTime[0], "of the epoch, not of the process's start").toBeLessThan(1_100)
    },
  )
})

test('an idle store makes no span, however long it is polled', async () => {
  const { clock, daemon } = rig()
  const store = new TimedStore(clock)
  await startOn(clock, daemon([recording('all')], { source: store.source }))
  await clock.advance(60_000)
  expect(sdk.spans()).toEqual([])
})

test('an SDK that is set up between making a daemon and starting it is found', async () => {
  sdk.uninstall()
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const running = daemon([recording('all')])
  sdk = installTracing()
  await running.start()
  await clock.advance(100)
  expect(sdk.spans(/^process all$/)).toHaveLength(1)
})

test('without an SDK nothing happens', async () => {
  sdk.uninstall()
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const all = recording('all')
  await daemon([all]).start()
  await clock.advance(100)
  expect(all.seen).toEqual([1n])
  expect(sdk.spans()).toEqual([])
})

test('the traces of events are not read where nobody records', async () => {
  sdk.uninstall()
  const read = vi.fn(() => undefined)
  const { clock, events, daemon } = rig()
  events.append('a', 1)
  const all = recording('all')
  await daemon([all], { traceContext: read }).start()
  await clock.advance(100)
  expect(all.seen).toEqual([1n])
  expect(read).not.toHaveBeenCalled()
})
