import { createWatch } from '@tidemark/core'
import { expect, onTestFinished, test } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import { startOn } from '../../support/start.ts'
import { WatchedStore } from '../../support/watch-scenario.ts'
import { installTracing, spanId, traceId, traceparent } from './tracing-rig.ts'

const clock = new FakeClock()

/** The events 2 and 3 are lost, the second one without a valid trace. */
async function spansOfLosses() {
  const { spans, uninstall } = installTracing()
  onTestFinished(uninstall)
  const store = new WatchedStore()
  const show = async (position: bigint, trace?: string): Promise<void> => {
    store.traceparent = trace
    store.visible.set(position, 'a')
    await clock.advance(2_000)
  }
  store.visible.set(1n, 'a')
  store.checkpoints.set('loop', 1n)
  const watch = createWatch({ source: store.source, consumers: store.consumers({ loop: 'all' }), clock })
  await startOn(clock, watch)
  for (const position of [4n, 5n]) {
    store.head = position
    await show(position)
    store.checkpoints.set('loop', position)
    await clock.advance(1_000)
  }
  await show(2n, traceparent(7))
  await show(3n, 'no trace')
  const lost = watch.lost()
  await clock.run(watch.stop())
  return { lost, spans: spans(/lost/) }
}

test('the span of a lost event links to the trace that appended it, where the event says that', async () => {
  const { lost, spans } = await spansOfLosses()
  expect(lost.map(({ traceparent }) => traceparent)).toEqual([traceparent(7), 'no trace'])
  expect(spans.map(({ attributes }) => attributes['tidemark.event.position'])).toEqual(['2', '3'])
  expect(spans.map(({ links }) => links.map(({ context }) => [context.traceId, context.spanId]))).toEqual([
    [[traceId(7), spanId(7)]],
    [],
  ])
})
