import { monitorSubscription } from '@tidemark/core'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { installTracing, spanId, traceId, traceparent } from '../telemetry/tracing-rig.ts'
import { event } from './client-subscription.ts'
import { rig, take } from './rig.ts'

let sdk: ReturnType<typeof installTracing>
beforeEach(() => {
  sdk = installTracing()
})
afterEach(() => sdk.uninstall())

async function skipSpanOf(from: bigint, next: ReturnType<typeof event>) {
  const { source, call, subscription, options } = rig({ from })
  source.head = next.position
  const wrapped = monitorSubscription(options).wrap(subscription())
  call.send(next)
  await take(wrapped[Symbol.asyncIterator](), 1)
  return await vi.waitFor(() => {
    const [span] = sdk.spans(/^marten\.projection\.skipped_events$/)
    if (!span) throw new Error('no span')
    return span
  })
}

test('truncated events are a span like that of a daemon, linked to the trace that appended the next', async () => {
  const span = await skipSpanOf(4n, event(8n, { metadata: { traceparent: traceparent(7) } }))
  expect(span.attributes).toEqual({
    'marten.skipped_events.count': 3,
    'marten.high_water_mark.stale': false,
    'marten.high_water_mark.stored': '4',
    'marten.high_water_mark.actual': '8',
    'marten.high_water_mark.difference': 4,
    'tidemark.projection.name': 'mailer',
    'tidemark.skip.reason': 'truncated',
    'error.type': 'truncated',
  })
  expect(span.links.map(({ context }) => context)).toMatchObject([{ traceId: traceId(7), spanId: spanId(7) }])
})

test('an event that is not there is one too: one event, and no difference of positions', async () => {
  const span = await skipSpanOf(4n, event(5n, { hasEvent: false }))
  expect(span.attributes).toEqual({
    'marten.skipped_events.count': 1,
    'marten.high_water_mark.stale': false,
    'marten.high_water_mark.stored': '5',
    'marten.high_water_mark.actual': '5',
    'tidemark.projection.name': 'mailer',
    'tidemark.skip.reason': 'unknown_event',
    'error.type': 'unknown_event',
  })
})
