import type { CheckpointStore } from '@tidemark/core'
import { hasCode } from '@tidemark/core'
import { type PgClient, postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { eventsOf, projection, replaced, startDaemon } from './daemons.ts'
import { append } from './events.ts'
import { expectExact } from './oracle.ts'
import { type Proxy as FaultyProxy, startProxy } from './proxy.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'

/** Far above what a statement takes, far below what TCP waits by itself. */
const QUERY_TIMEOUT_MS = 1_500

const PHASES = ['poll', 'page', 'lock', 'handler', 'commit', 'wait', 'listen'] as const
type Phase = (typeof PHASES)[number]

interface Fault {
  readonly strike: (proxy: FaultyProxy) => void
  /** Once it was noticed. */
  readonly end: (proxy: FaultyProxy) => void
}

/** The server lets go of what it holds, as after some keepalives. */
const letGo = (proxy: FaultyProxy): void => proxy.cutSilent()

const FAULTS: Readonly<Record<string, Fault>> = {
  'go silent': { strike: (proxy) => proxy.silence(), end: letGo },
  'lose their answers': { strike: (proxy) => proxy.swallowAnswers(), end: letGo },
  'answer too late': { strike: (proxy) => proxy.holdAnswers(), end: (proxy) => proxy.giveAnswers() },
}

/** A store whose `advance` does that first, and that last before it commits. */
function around(
  checkpoints: CheckpointStore<PgClient>,
  first: () => void,
  last: () => void,
): CheckpointStore<PgClient> {
  const advance: typeof checkpoints.advance = async (request, work) => {
    first()
    return await checkpoints.advance(request, async (tx, locked) => {
      await work(tx, locked)
      last()
    })
  }
  return new Proxy(checkpoints, {
    get: (store, key) => {
      if (key === 'advance') return advance
      const value: unknown = Reflect.get(store, key)
      return typeof value === 'function' ? value.bind(store) : value
    },
  })
}

/** Its connections fail, all of them, whenever the daemon comes to that phase, until it has noticed. */
async function failingIn(store: ChaosStore, phase: Phase, { strike, end }: Fault) {
  const proxy = await startProxy(store)
  const pool = store.pool({ connectionString: proxy.url })
  const isOfWakeUps = phase === 'wait' || phase === 'listen'
  let isArmed = false
  let noticed = 0
  let destroyed = 0
  pool.on('remove', () => destroyed++)
  const at = (reached: Phase) => (): void => {
    if (isArmed && reached === phase && noticed === 0) strike(proxy)
  }
  const notice = ({ error }: { readonly error: unknown }): void => {
    if (!isOfWakeUps && PASSES_IN_TIME.some((code) => hasCode(error, code))) noticed++
  }
  const source = eventsOf(pool, {
    queryTimeoutMs: QUERY_TIMEOUT_MS,
    ...(phase === 'listen' ? { wakeUps: { listen: 'appended' } } : {}),
  })
  const all = projection('all', { handlerTimeoutMs: QUERY_TIMEOUT_MS })
  const daemon = await startDaemon(store, {
    source: replaced(source, {
      readHighWater: async (request) => {
        at('poll')()
        return await source.readHighWater(request)
      },
      load: async (request) => {
        at('page')()
        return await source.load(request)
      },
    }),
    checkpoints: around(
      postgresCheckpoints({ pool, queryTimeoutMs: QUERY_TIMEOUT_MS }),
      at('lock'),
      at('commit'),
    ),
    projections: [
      {
        ...all,
        handle: async (events, context) => {
          at('handler')()
          await all.handle(events, context)
        },
      },
    ],
    pollIntervalMs: isOfWakeUps ? 600_000 : 50,
    logger: {
      info: () => {},
      warn: (message) => {
        if (isOfWakeUps && message.includes('wake-ups of')) noticed++
      },
      error: () => {},
    },
    telemetry: { pollFailed: notice, handlerFailed: notice, storeFailed: notice },
  })
  await append(store, 10)
  await store.query('notify appended')
  await expectExact([{ name: 'all' }], store)
  return {
    daemon,
    strike: (): void => {
      isArmed = true
      if (isOfWakeUps) strike(proxy)
    },
    isNoticed: () => noticed > 0,
    destroyed: () => destroyed,
    end: () => end(proxy),
  }
}

const PASSES_IN_TIME = ['TIDEMARK_QUERY_TIMEOUT', 'TIDEMARK_HANDLER_TIMEOUT']

test.each(
  PHASES.flatMap((phase) => Object.entries(FAULTS).map(([name, fault]) => [phase, name, fault] as const)),
)(
  'in the phase "%s" connections that %s are given up and destroyed, and work goes on by itself',
  async (phase, _, fault) => {
    const store = await chaosStore()
    const { daemon, strike, isNoticed, destroyed, end } = await failingIn(store, phase, fault)
    strike()
    await append(store, 10)
    await until('it was noticed', isNoticed)
    end()
    await append(store, 10)
    await store.query('notify appended')
    await expectExact([{ name: 'all' }], store, { timeoutMs: 30_000 })
    await until('it was destroyed', () => destroyed() > 0)
    expect(daemon.status().highWater.state).toBe('polling')
  },
)
