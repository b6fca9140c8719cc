import {
  type CheckpointStore,
  type Clock,
  createDaemon,
  type Daemon,
  type Logger,
  type Metrics,
} from '@tidemark/core'
import { inMemoryCheckpoints } from '@tidemark/core/testing'
import { FakeClock } from './fake-clock.ts'
import { GuessingStore, THRESHOLD_MS } from './guessing-store.ts'
import { startOn } from './start.ts'
import { subscriptionScenario } from './subscription-scenario.ts'
import { TimedStore } from './timed-store.ts'
import { watchScenario } from './watch-scenario.ts'

export interface TelemetryScenario {
  readonly clock: FakeClock
  /** Keeps `metrics` as the run left it; a scrape shows what has gone on since, as time is the clock's. */
  stop(): Promise<void>
}

/**
 * Makes everything happen that an instrument tells of, and stops the clock there: a gap is open and the mark is stale, a
 * projection is paused, another stands by. Takes no real time.
 *
 * - `orders`, in proof mode: `balances` (owned by one of two daemons), its version 2, which replays, `mailer` (paused at an event), `search` (skips it), `shaky`
 * - `legacy`, in stale-threshold mode: `ledger`, which skips, on a node of its own
 * - `journal`, by wrapped subscriptions: see `subscription-scenario.ts`
 * - `loops`, consumers that are watched: see `watch-scenario.ts`
 */
export async function telemetryScenario(
  metrics: Metrics,
  { clock = new FakeClock(), logger }: { readonly clock?: FakeClock; readonly logger?: Logger } = {},
): Promise<TelemetryScenario> {
  const orders = new TimedStore(clock, 'orders')
  const legacy = new GuessingStore(clock, 'legacy')
  const shared = { metrics, clock, ...(logger ? { logger } : {}) }
  const checkpoints = checkpointsOf(clock)
  const balances = { name: 'balances', handle: () => takes(clock, 20) }
  let shaken = 0
  let told = 0
  const owner = createDaemon({
    ...shared,
    source: orders.source,
    checkpoints,
    projections: [
      balances,
      { ...balances, version: 2, batchSize: 1, handle: () => takes(clock, 6_000) },
      {
        name: 'mailer',
        attempts: 2,
        handle: async (events) => {
          if (events.some(({ type }) => type === 'poison')) throw new Error('cannot be mailed')
        },
      },
      {
        name: 'search',
        attempts: 1,
        onFailure: 'skip',
        handle: async (events) => {
          if (events.some(({ type }) => type === 'poison')) throw new Error('cannot be indexed')
        },
      },
      {
        name: 'shaky',
        handle: async () => {
          if (++shaken === 2) throw new Error('every now and then')
        },
      },
    ],
    telemetry: {
      batchProcessed: () => {
        if (++told === 1) throw new Error("the user's own telemetry")
      },
    },
    onTelemetryError: () => {},
  })
  const standby = createDaemon({ ...shared, source: orders.source, checkpoints, projections: [balances] })
  const fallback = createDaemon({
    ...shared,
    source: legacy.source(),
    checkpoints: inMemoryCheckpoints(),
    nodes: {},
    projections: [{ name: 'ledger', handle: () => takes(clock, 5) }],
  })
  const daemons: Daemon<bigint>[] = [owner, standby, fallback]
  const wait = (ms: number): Promise<void> => clock.advance(ms)

  const subscriptions = await subscriptionScenario(metrics, clock, wait)
  const watched = await watchScenario(metrics, clock, wait)

  orders.append()
  legacy.show(1n, 3n)
  await startOn(clock, owner)
  await startOn(clock, fallback)
  await wait(2 * THRESHOLD_MS)

  // A checkpoint conflict: both want the next event.
  await startOn(clock, standby)
  orders.append()
  await wait(1_000)

  // A gap that is filled, and one that is proven empty: a poll sees each within a second.
  const slow = orders.begin()
  slow.append('a', {})
  orders.append()
  await wait(1_000)
  slow.commit()
  const undone = orders.begin()
  undone.append('a', {})
  orders.append()
  await wait(1_000)
  undone.rollback()
  await wait(500)

  // Positions passed without proof: a poll sees them within a second.
  legacy.show(6n)
  await wait(3 * THRESHOLD_MS)

  // One of them comes late.
  legacy.show(4n)
  await wait(2_000)

  // Polls that fail, and the store coming back.
  orders.failure = new Error('connection refused')
  await wait(2_000)
  orders.failure = undefined
  await wait(6_000)

  // A projection that pauses.
  orders.append('poison')
  await wait(2_000)

  // A transaction forgotten.
  orders.begin().append('a', {})
  orders.append()
  await wait(10_000)

  return {
    clock,
    stop: async () => {
      await subscriptions.stop()
      await watched.stop()
      await clock.run(Promise.all(daemons.map((daemon) => daemon.stop())))
    },
  }
}

function takes(clock: Clock, ms: number): Promise<void> {
  return clock.sleep(ms, new AbortController().signal)
}

/** Whose dead letters were buried when the scenario began, by its clock. */
function checkpointsOf(clock: Clock): CheckpointStore<undefined> {
  const checkpoints = inMemoryCheckpoints()
  const { deadLetters } = checkpoints
  if (deadLetters === undefined) throw new TypeError('checkpoints in memory keep dead letters')
  const oldestAtMs = clock.nowMs()
  const counts = deadLetters.counts.bind(deadLetters)
  Object.assign(deadLetters, {
    counts: async (signal: AbortSignal) => (await counts(signal)).map((count) => ({ ...count, oldestAtMs })),
  })
  return checkpoints
}
