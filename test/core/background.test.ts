import { AsyncLocalStorage } from 'node:async_hooks'
import { context, createContextKey, trace } from '@opentelemetry/api'
import { createHighWaterAgent, monitorSubscription } from '@tidemark/core'
import { denseOrder, type EventSource, type SubscriptionSource } from '@tidemark/core/adapter'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { altered, alteredCheckpoints, type Event, reading, rig, scripted, stopAll } from './rig.ts'
import type { TestEvent } from './subscription/client-subscription.ts'
import { rig as subscriptionRig } from './subscription/rig.ts'
import { installTracing } from './telemetry/tracing-rig.ts'

/** As `suppressTracing` of `@opentelemetry/core` sets it, and as SDKs and instrumentations look at it. */
const SUPPRESSED = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING')

const request = new AsyncLocalStorage<string>()

let sdk: ReturnType<typeof installTracing>
beforeEach(() => {
  sdk = installTracing()
})
afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
  sdk.uninstall()
})

/** Where something was called from. */
interface Scene {
  readonly request: string | undefined
  readonly span: string | undefined
  readonly isTraced: boolean
}

const scene = (): Scene => ({
  request: request.getStore(),
  span: trace.getActiveSpan()?.spanContext().spanId,
  isTraced: context.active().getValue(SUPPRESSED) !== true,
})

const inRequest = <T>(work: () => T): T =>
  request.run('POST /admin/start', () => trace.getTracer('app').startActiveSpan('POST /admin/start', work))

const UNTRACED = { request: undefined, isTraced: false }

/** Everything that a store is asked, with where it was asked from. */
function watched(made: ReturnType<typeof rig>) {
  const seen = new Map<string, Scene[]>()
  const note = (what: string): void => {
    seen.set(what, [...(seen.get(what) ?? []), scene()])
  }
  const { events, checkpoints } = made
  const source: EventSource<bigint, Event> = altered(events, {
    readHighWater: (asked) => {
      note('poll')
      return events.readHighWater(asked)
    },
    load: (asked) => {
      note('page')
      return events.load(asked)
    },
    wakeUps: async function* (signal) {
      note('wake-ups')
      for await (const hint of events.wakeUps?.(signal) ?? []) yield hint
    },
  })
  const store = alteredCheckpoints(checkpoints, {
    prepare: async () => note('prepare'),
    open: (...asked) => {
      note('open checkpoint')
      return checkpoints.open(...asked)
    },
    advance: async (asked, work) => {
      note('begin')
      const advanced = await checkpoints.advance(asked, work)
      note('commit')
      return advanced
    },
    settled: {
      save: async (...asked) => {
        note('save settled')
        await checkpoints.settled?.save(...asked)
      },
    },
  })
  return { seen, source, checkpoints: store }
}

describe('a daemon that is started, woken and waited for inside a request', () => {
  async function running() {
    const made = rig()
    const { clock, events } = made
    const { seen, source, checkpoints } = watched(made)
    const handled: Scene[] = []
    const daemon = made.daemon(
      [
        {
          name: 'balances',
          batchSize: 1,
          handle: async () => {
            handled.push(scene())
            await Promise.resolve()
            handled.push(scene())
          },
        },
      ],
      { source, checkpoints },
    )
    await inRequest(() => clock.run(daemon.start()))
    for (let n = 0; n < 3; n++) {
      events.append('a', n)
      await inRequest(async () => {
        daemon.wake()
        await clock.run(daemon.waitUntilProjected())
      })
      await clock.advance(5_000)
    }
    return { seen, handled }
  }

  test('asks the store outside of that request, with tracing suppressed', async () => {
    const { seen } = await running()
    const asked = [
      'poll',
      'page',
      'wake-ups',
      'prepare',
      'open checkpoint',
      'begin',
      'commit',
      'save settled',
    ]
    expect([...seen.keys()].sort()).toEqual(asked.sort())
    for (const [what, scenes] of seen) {
      for (const each of scenes) expect(each, what).toMatchObject(UNTRACED)
    }
  })

  test('calls its handlers outside of that request, traced, each batch in a trace of its own', async () => {
    const { handled } = await running()
    const batches = sdk.spans(/^process balances$/)
    expect(batches).toHaveLength(3)
    expect(new Set(batches.map((span) => span.spanContext().traceId)).size).toBe(3)
    expect(batches.every((span) => span.parentSpanContext === undefined)).toBe(true)
    expect(handled).toEqual(
      batches.flatMap((span) => {
        const inBatch = { request: undefined, span: span.spanContext().spanId, isTraced: true }
        return [inBatch, inBatch]
      }),
    )
  })
})

test('an agent alone that is started inside a request polls outside of it, untraced', async () => {
  const clock = new FakeClock()
  const seen: Scene[] = []
  const agent = createHighWaterAgent({
    clock,
    source: scripted(() => {
      seen.push(scene())
      return reading({ head: 1n, settled: 1n, mark: 1n })
    }),
  })
  await inRequest(() => agent.start())
  await clock.advance(5_000)
  await inRequest(() => clock.run(agent.freshReading()))
  await inRequest(() => clock.run(agent.stop()))
  expect(seen.length).toBeGreaterThan(3)
  for (const each of seen) expect(each).toEqual({ ...UNTRACED, span: undefined })
})

describe('a subscription that is wrapped inside a request', () => {
  test('is monitored outside of it, untraced, and its consumer stays where it was', async () => {
    const { clock, source, options, call, subscription } = subscriptionRig()
    const seen: Scene[] = []
    const monitoring: SubscriptionSource<bigint, TestEvent> = {
      name: source.name,
      order: denseOrder,
      yieldsEveryPosition: true,
      describe: (item) => source.describe(item),
      readHead: async () => {
        seen.push(scene())
        return 1n
      },
      dropReason: () => 'unknown',
    }
    const consumed: Scene[] = []
    const monitor = monitorSubscription({ ...options, source: monitoring })
    inRequest(() => {
      const wrapped = monitor.wrap(subscription())
      const first = wrapped[Symbol.asyncIterator]().next()
      void first.then(() => consumed.push(scene()))
    })
    call.send({ position: 0n, appendedAtMs: undefined, hasEvent: true })
    await clock.advance(20_000)
    expect(seen.length).toBeGreaterThan(1)
    for (const each of seen) expect(each).toEqual({ ...UNTRACED, span: undefined })
    expect(consumed).toMatchObject([{ request: 'POST /admin/start', isTraced: true }])
    monitor.stop()
    expect(clock.sleeping).toBe(0)
  })

  test('and found to begin beyond the head, tells its error listener inside it: that may subscribe anew', async () => {
    const { clock, source, options, subscription } = subscriptionRig({ from: 500n })
    source.head = 120n
    const heard: Scene[] = []
    inRequest(() => {
      monitorSubscription(options)
        .wrap(subscription())
        .on('error', () => heard.push(scene()))
    })
    await clock.advance(6_000)
    expect(heard).toMatchObject([{ request: 'POST /admin/start', isTraced: true }])
    expect(heard[0]?.span).toBeDefined()
  })
})
