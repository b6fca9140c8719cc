import { inspect } from 'node:util'
import { hasCode } from '@tidemark/core'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import type { Random } from '../core/model/random.ts'
import { killBackend } from './backends.ts'
import { eventsOf, PROJECTIONS, startDaemon } from './daemons.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { type Proxy as FaultyProxy, startProxy } from './proxy.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'
import { startBystanders, startWriters } from './writers.ts'

const QUERY_TIMEOUT_MS = 2_000

/** One fault after another, between daemon and server and in the server, under load. */
export async function randomFaults(
  random: Random,
  rounds: number,
  placement: 'shared' | 'elsewhere',
): Promise<void> {
  const store = await chaosStore()
  const handled = placement === 'shared' ? store : await chaosStore()
  const proxy = await startProxy(store)
  const handledProxy = placement === 'shared' ? proxy : await startProxy(handled)
  let timeouts = 0
  const count = ({ error }: { readonly error: unknown }): void => {
    if (hasCode(error, 'TIDEMARK_QUERY_TIMEOUT')) timeouts++
  }
  const queryTimeoutMs = QUERY_TIMEOUT_MS
  const daemon = await startDaemon(store, {
    source: eventsOf(store.pool({ connectionString: proxy.url }), { queryTimeoutMs }),
    checkpoints: postgresCheckpoints({
      pool: handled.pool({ connectionString: handledProxy.url, query_timeout: 2 * queryTimeoutMs }),
      queryTimeoutMs,
    }),
    telemetry: { pollFailed: count, handlerFailed: count, storeFailed: count },
  })
  startBystanders(store)
  const synchronous = startWriters(store, { random, writers: 3 })
  const asynchronous = startWriters(store, { random, writers: 3, asynchronous: true })

  const restart = async ({ server }: ChaosStore, mode: 'fast' | 'immediate'): Promise<void> => {
    await server.stop(mode)
    await server.start()
  }
  /** Those that are still being made then fail in another way. Where there are no others, the next ones go silent too. */
  const silenced = async (goSilent: (of: FaultyProxy) => void): Promise<void> => {
    const before = timeouts
    for (let attempt = 1; timeouts === before; attempt++) {
      goSilent(proxy)
      goSilent(handledProxy)
      await until('the silence was noticed', () => timeouts > before, 10_000).catch((error: unknown) => {
        if (attempt === 3) throw new Error(inspect(daemon.status(), { depth: 4 }), { cause: error })
      })
    }
    proxy.cutSilent()
    handledProxy.cutSilent()
  }
  const faults = {
    crash: () => restart(store, 'immediate'),
    restart: () => restart(store, 'fast'),
    'crash of the checkpoints': () => restart(handled, 'immediate'),
    'killed backend': () => killBackend(store, random.below(1_000)),
    cut: async () => proxy.cut(),
    'cut to the checkpoints': async () => handledProxy.cut(),
    silence: () => silenced((of) => of.silence()),
    'lost answers': () => silenced((of) => of.swallowAnswers()),
  }
  const names = Object.keys(faults) as (keyof typeof faults)[]
  for (let round = 1; round <= rounds; round++) {
    await untilArrived(handled, 'slow', 20 + random.below(300))
    const fault = random.pick(names) ?? 'crash'
    console.info(`${round}/${rounds}: ${fault}`)
    await faults[fault]()
  }
  await untilArrived(handled, 'slow', 100)
  await asynchronous.stop()
  await synchronous.stop()
  await expectExact(PROJECTIONS, store, { handled })
  await synchronous.expectAcknowledged()
  await asynchronous.expectAcknowledged()
}
