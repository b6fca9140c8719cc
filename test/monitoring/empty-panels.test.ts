import { createDaemon, type Metrics } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { startOn } from '../support/start.ts'
import { subscriptionScenario } from '../support/subscription-scenario.ts'
import { TimedStore } from '../support/timed-store.ts'
import { panels } from './dashboard-panels.ts'
import { expand, selectorsOf } from './promql.ts'

/** A daemon in which nothing has ever gone wrong. */
async function daemon(metrics: Metrics): Promise<() => Promise<void>> {
  const clock = new FakeClock()
  const store = new TimedStore(clock, 'orders')
  const running = createDaemon({
    source: store.source,
    checkpoints: inMemoryCheckpoints(),
    projections: [{ name: 'balances', handle: () => {} }],
    metrics,
    clock,
  })
  await startOn(clock, running)
  await clock.advance(1_000)
  store.append()
  await clock.advance(1_000)
  return () => clock.run(running.stop())
}

async function wrappedSubscriptions(metrics: Metrics): Promise<() => Promise<void>> {
  const clock = new FakeClock()
  const scenario = await subscriptionScenario(metrics, clock, (ms) => clock.advance(ms))
  return () => scenario.stop()
}

/** The panels that show nothing, with what they say instead. */
async function emptyPanels(
  application: (metrics: Metrics) => Promise<() => Promise<void>>,
  where: { readonly isCollapsed: boolean },
): Promise<ReadonlyMap<string | undefined, string | undefined>> {
  const registry = new Registry()
  const stop = await application(promClientMetrics({ registry }))
  // The first scrape asks for what the second one shows.
  await registry.metrics()
  const exposition = await registry.metrics()
  await stop()
  const isExported = (name: string): boolean => new RegExp(`^${name}[{ ]`, 'm').test(exposition)
  return new Map(
    panels
      .filter(({ isCollapsed, targets = [] }) => isCollapsed === where.isCollapsed && targets.length > 0)
      .filter(
        ({ targets = [] }) =>
          !targets.some(({ expr }) => selectorsOf(expand(expr)).some(({ names }) => names.some(isExported))),
      )
      .map(({ title, fieldConfig }) => [title, fieldConfig?.defaults.noValue]),
  )
}

describe('an application with a daemon alone', () => {
  test('has no empty panel in the open rows, but those of what has not happened yet', async () => {
    expect([...(await emptyPanels(daemon, { isCollapsed: false }))]).toEqual([
      ['Replays: time left', 'Only of daemons, while events are replayed, where positions are numbers'],
      ['Replays: speed', 'Only of daemons, while events are replayed'],
      ['How long gaps were open', 'Only of daemons, from the first gap on'],
    ])
  })

  test('has in the collapsed rows panels that say that no subscription is wrapped, no consumer watched, and that there are no leases', async () => {
    const empty = await emptyPanels(daemon, { isCollapsed: true })
    expect(empty.size).toBe(panels.filter(({ isCollapsed }) => isCollapsed).length)
    for (const [title, text] of empty)
      expect(text, title).toMatch(
        /^No (wrapped subscription|persistent subscription|consumer) |^Only of daemons with leases/,
      )
  })
})

describe('an application with wrapped subscriptions alone', () => {
  test('has in the open rows panels that say that they are of daemons', async () => {
    const empty = await emptyPanels(wrappedSubscriptions, { isCollapsed: false })
    expect(empty).not.toHaveProperty('size', 0)
    for (const [title, text] of empty) expect(text, title).toMatch(/^Only (of )?daemons\b/)
  })

  test('has no empty panel in the row of its own', async () => {
    const empty = await emptyPanels(wrappedSubscriptions, { isCollapsed: true })
    for (const [title, text] of empty)
      expect(text, title).toMatch(/^No consumer is watched|^Only of daemons with leases/)
  })
})

test.each(panels.filter(({ targets = [] }) => targets.length > 0))(
  'where $title has nothing to show, it says why',
  ({ fieldConfig }) => {
    expect(fieldConfig?.defaults.noValue).toMatch(/\w+ \w+/)
  },
)
