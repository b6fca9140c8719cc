import * as api from '@opentelemetry/api'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { linksTo } from '../../../packages/core/src/telemetry/span-links.ts'

const MOST = 32
const traceId = (n: number) => (n + 1).toString(16).padStart(32, '0')
const SPAN_ID = '00f067aa0ba902b7'

/** An event is the number of the trace that appended it. */
const readContext = (event: number | 'untraced' | 'torn' | 'throws') => {
  if (event === 'throws') throw new Error('of the user')
  if (event === 'untraced') return undefined
  return { traceparent: event === 'torn' ? '00-torn' : `00-${traceId(event)}-${SPAN_ID}-01` }
}

const links = (events: readonly Parameters<typeof readContext>[0][]) => linksTo(events, { api, readContext })

test('a span is linked to each trace once, to 32 at most; what comes from the next one on is counted', () => {
  const events = fc.array(
    fc.oneof({ weight: 8, arbitrary: fc.nat(200) }, fc.constantFrom('untraced', 'torn', 'throws')),
    { maxLength: 120, size: 'max' },
  )
  fc.assert(
    fc.property(events, (given) => {
      const found = links(given)
      const traces = [...new Set(given.filter((each) => typeof each === 'number'))]
      const first = traces[MOST]
      expect(found.links.map(({ context }) => context.traceId)).toEqual(traces.slice(0, MOST).map(traceId))
      expect(found.unlinked).toBe(first === undefined ? 0 : given.length - given.indexOf(first))
    }),
  )
})

test('two spans of one trace are two links, and its state goes along', () => {
  const { links: found } = linksTo(['1', '2'], {
    api,
    readContext: (id) => ({ traceparent: `00-${traceId(7)}-${id.repeat(16)}-01`, tracestate: 'vendor=a' }),
  })
  expect(found.map(({ context }) => context.spanId)).toEqual(['1'.repeat(16), '2'.repeat(16)])
  expect(found[0]?.context).toMatchObject({ isRemote: true, traceFlags: 1 })
  expect(found[0]?.context.traceState?.serialize()).toBe('vendor=a')
})
