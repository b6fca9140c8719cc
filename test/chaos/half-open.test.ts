import { hasCode } from '@tidemark/core'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { eventsOf, projection, startDaemon } from './daemons.ts'
import { append } from './events.ts'
import { arrived, expectExact } from './oracle.ts'
import { startProxy } from './proxy.ts'
import { chaosStore } from './store.ts'
import { gate, until } from './until.ts'

/** Far above what a statement takes, far below what TCP waits by itself. */
const QUERY_TIMEOUT_MS = 1_500

async function behindProxy(pollIntervalMs = 50) {
  const store = await chaosStore()
  const proxy = await startProxy(store)
  const handler = gate()
  const errors: unknown[] = []
  const pool = store.pool({ connectionString: proxy.url })
  const all = projection('all')
  const daemon = await startDaemon(store, {
    source: eventsOf(pool, { queryTimeoutMs: QUERY_TIMEOUT_MS }),
    checkpoints: postgresCheckpoints({ pool, queryTimeoutMs: QUERY_TIMEOUT_MS }),
    projections: [
      {
        ...all,
        handle: async (events, context) => {
          await all.handle(events, context)
          await handler.pass()
        },
      },
    ],
    pollIntervalMs,
    telemetry: {
      pollFailed: ({ error }) => errors.push(error),
      handlerFailed: ({ error }) => errors.push(error),
      storeFailed: ({ error }) => errors.push(error),
    },
  })
  await append(store, 10)
  await expectExact([{ name: 'all' }], store)
  const timedOut = (): boolean => errors.some((error) => hasCode(error, 'TIDEMARK_QUERY_TIMEOUT'))
  return { store, proxy, handler, daemon, timedOut }
}

test('polls that are never answered are given up, and others made', async () => {
  const { store, proxy, timedOut, daemon } = await behindProxy()
  proxy.silence()
  await append(store, 10)
  await until('the silence was noticed', timedOut)
  await expectExact([{ name: 'all' }], store)
  expect(daemon.status().highWater.state).toBe('polling')
})

test('a wait for the next number that has gone silent is given up, and what was appended meanwhile is found', async () => {
  const { store, proxy } = await behindProxy(600_000)
  proxy.silence()
  await append(store, 10)
  await expectExact([{ name: 'all' }], store)
  await append(store, 10)
  await expectExact([{ name: 'all' }], store)
})

test('a batch whose connection went silent is handled again by another, once the server has let go of it', async () => {
  const { store, proxy, handler, timedOut } = await behindProxy()
  handler.shut()
  await append(store, 10)
  await handler.reached
  proxy.silence()
  handler.open()
  await until('the silence was noticed', timedOut)
  // The server still holds the transaction, and with it the checkpoint.
  expect(await arrived(store, 'all')).toBe(10)
  proxy.cutSilent()
  await append(store, 10)
  await expectExact([{ name: 'all' }], store)
})

test('a commit that was carried out, but whose answer never came, is not repeated', async () => {
  const { store, proxy, handler, timedOut } = await behindProxy()
  handler.shut()
  await append(store, 10)
  await handler.reached
  proxy.swallowAnswers()
  handler.open()
  await until('the silence was noticed', timedOut)
  await append(store, 10)
  await expectExact([{ name: 'all' }], store)
})

test('stop ends in bounded time when every connection has gone silent', async () => {
  const { store, proxy, handler, daemon } = await behindProxy()
  handler.shut()
  await append(store, 10)
  await handler.reached
  proxy.silence()
  const startedMs = performance.now()
  await daemon.stop()
  // Half of what `startDaemon` gives it is far more than is needed where nothing hangs.
  expect(performance.now() - startedMs).toBeLessThan(8_000)
  handler.open()
})
