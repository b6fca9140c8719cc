import { createRequire } from 'node:module'
import { registerInstrumentations } from '@opentelemetry/instrumentation'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { postgresEvents } from '@tidemark/pg-adapter'
import { afterAll, expect, test } from 'vitest'
import { gate } from '../core/rig.ts'
import { installTracing } from '../core/telemetry/tracing-rig.ts'

const sdk = installTracing()
registerInstrumentations({ tracerProvider: sdk.provider, instrumentations: [new PgInstrumentation()] })
// What is instrumented is the driver that is required from here on: everything below imports the same one.
createRequire(import.meta.url)('pg')
const { checkpointsBeside, eventually, fileDatabase, startDaemon } = await import('../support/event-table.ts')

const db = fileDatabase()
afterAll(() => sdk.uninstall())

/** The statement that a span is of, or its name where it is of none. */
const subject = ({ name, attributes }: ReadableSpan): string =>
  String(attributes['db.query.text'] ?? attributes['db.statement'] ?? name)

test('the driver makes spans of what a handler asks, inside its batch, and of nothing that Tidemark asks', async () => {
  const events = await db.events()
  const [slow, fast] = [await db.session(), await db.session()]
  const insert = `insert into ${events.name} default values`
  const before = sdk.spans().length
  const pool = db.newPool()
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [
      { name: 'balances', handle: (_, { tx }) => tx.query('select 1 as handled').then(() => {}) },
    ],
  })
  // Polls behind an open transaction, a batch, polls of an idle store.
  await slow.query('begin')
  await slow.query(insert)
  await fast.query(insert)
  await eventually(() => daemon.status().highWater.gaps.length).toBe(1)
  await slow.query('commit')
  await daemon.waitUntilProjected()
  const polledAtMs = daemon.status().highWater.lastPollAtMs
  await eventually(() => daemon.status().highWater.lastPollAtMs).not.toBe(polledAtMs)
  await daemon.stop()

  const spans = sdk.spans().slice(before)
  const batches = new Set(
    spans.filter(({ name }) => name === 'process balances').map((span) => span.spanContext().spanId),
  )
  const handled = spans.filter((span) => subject(span) === 'select 1 as handled')
  expect(handled.length).toBeGreaterThan(0)
  for (const span of handled) expect(batches).toContain(span.parentSpanContext?.spanId)
  const others = spans.filter(({ instrumentationScope }) => instrumentationScope.name !== '@tidemark/core')
  expect(new Set(others.map(subject))).toEqual(new Set(['begin', insert, 'commit', 'select 1 as handled']))
})

test('a statement of the application that waited for a connection of Tidemark has its span', async () => {
  const events = await db.events()
  const pool = db.newPool({ max: 1 })
  const [begun, released] = [gate(), gate()]
  const daemon = await startDaemon({
    source: postgresEvents({ pool, table: events.name }),
    checkpoints: checkpointsBeside(events, pool),
    projections: [
      {
        name: 'balances',
        handle: async () => {
          begun.open()
          await released.promise
        },
      },
    ],
  })
  await events.append()
  daemon.wake()
  await begun.promise
  const waiting = pool.query('select 1 as waited')
  expect(pool.waitingCount).toBeGreaterThan(0)
  released.open()
  await waiting
  expect(sdk.spans().map(subject)).toContain('select 1 as waited')
})
