import { hasCode } from '@tidemark/core'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { eventsOf, PROJECTIONS, startDaemon } from './daemons.ts'
import { append } from './events.ts'
import { expectExact, untilArrived } from './oracle.ts'
import { startProxy } from './proxy.ts'
import { seeded } from './seed.ts'
import { chaosStore } from './store.ts'
import { until } from './until.ts'
import { startBystanders, startWriters } from './writers.ts'

const QUERY_TIMEOUT_MS = 1_500
const ROUNDS = 24
/** One for the wait, and three for a poll and three projections. */
const CONNECTIONS = 4

test('a wait that is killed, silenced and starved again and again, under load: delivery goes on by polls, nothing is lost, and wake-ups come back', async () => {
  const random = seeded('wake-ups disturbed')
  const store = await chaosStore()
  const proxy = await startProxy(store)
  const pool = store.pool({
    connectionString: proxy.url,
    application_name: 'disturbed',
    max: CONNECTIONS,
  })
  const warnings: string[] = []
  let timeouts = 0
  const count = ({ error }: { readonly error: unknown }): void => {
    if (hasCode(error, 'TIDEMARK_QUERY_TIMEOUT')) timeouts++
  }
  const daemon = await startDaemon(store, {
    source: eventsOf(pool, { queryTimeoutMs: QUERY_TIMEOUT_MS }),
    checkpoints: postgresCheckpoints({ pool, queryTimeoutMs: QUERY_TIMEOUT_MS }),
    logger: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
    telemetry: { pollFailed: count, handlerFailed: count, storeFailed: count },
  })
  startBystanders(store)
  const writers = startWriters(store, { random, writers: 3 })

  const onWaits = (what: string) => async () => {
    await store.query(
      `select ${what}(pid) from pg_stat_activity
       where application_name = 'disturbed' and state = 'active' and query like 'do %'`,
    )
  }
  const kill = onWaits('pg_terminate_backend')
  /** The application takes them, and the wait has to come by another one. */
  const starve = async (connections: number): Promise<void> => {
    const taking = Promise.allSettled(Array.from({ length: connections }, () => pool.connect()))
    await kill()
    const taken = await taking
    await new Promise((resolve) => setTimeout(resolve, random.below(4_000)))
    for (const one of taken) if (one.status === 'fulfilled') one.value.release()
  }
  const faults = {
    killed: kill,
    cancelled: onWaits('pg_cancel_backend'),
    silent: async () => {
      const before = timeouts
      proxy.silence()
      // Who is silent may hold a transaction: the server has to be told.
      await until('the silence was noticed', () => timeouts > before)
      proxy.cutSilent()
    },
    starved: () => starve(CONNECTIONS - 2),
    'starved, and everything else': () => starve(CONNECTIONS),
  }
  const names = Object.keys(faults) as (keyof typeof faults)[]
  for (let round = 0; round < ROUNDS; round++) {
    const fault = names[round % names.length] ?? 'killed'
    console.info(`${round + 1}/${ROUNDS}: ${fault}`)
    await faults[fault]()
    await untilArrived(store, 'all', 20 + random.below(100))
  }
  await writers.stop()
  await expectExact(PROJECTIONS, store)
  await writers.expectAcknowledged()

  const waits = async (): Promise<number | null> =>
    (
      await store.query(
        `select from pg_stat_activity
         where application_name = 'disturbed' and state = 'active' and query like 'do %'`,
      )
    ).rowCount
  await until('the wait is back', async () => (await waits()) === 1)
  await append(store, 1)
  await expectExact(PROJECTIONS, store)
  expect(daemon.status().highWater).toMatchObject({ state: 'polling', error: undefined })
  expect(warnings.filter((warning) => warning.includes('wake-ups of')).length).toBeLessThanOrEqual(ROUNDS)
})
