import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import {
  type Clock,
  createDaemon,
  type Daemon,
  INSTRUMENTS,
  type Metrics,
  type NodesOptions,
  type Projection,
} from '@tidemark/core'
import { openTelemetryMetrics } from '@tidemark/core/opentelemetry'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { PoolClient } from 'pg'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ALERTS } from '../../monitoring/src/alerts.ts'
import { ROWS } from '../../monitoring/src/panels.ts'
import { type TestDatabase, testDatabase } from '../support/database.ts'
import { subscriptionScenario } from '../support/subscription-scenario.ts'
import { watchScenario } from '../support/watch-scenario.ts'
import { because, isSkipped, type Prometheus, startPrometheus } from './prometheus.ts'
import { expand, selectorsOf } from './promql.ts'

const queries = ROWS.flatMap(({ panels }) =>
  panels.flatMap(({ title, queries: ofPanel }) =>
    ofPanel.map(({ expr }) => ({ title, query: expand(expr) })),
  ),
)
interface Handling extends Pick<Projection<unknown, unknown>, 'name' | 'version' | 'batchSize' | 'attempts'> {
  readonly handle: () => Promise<void> | void
}

const realTime: Clock = {
  nowMs: () => Date.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal, ref: false }).catch(() => {}),
}

const PATIENCE = { timeout: 60_000, interval: 500 }

// One projection that works, with a standby; one that fails until it is paused; and a store that skips.
describe.skipIf(isSkipped)(
  `a scenario that shows everything once, scraped by a real Prometheus${because}`,
  () => {
    const daemons: Daemon<bigint>[] = []
    const subscriptions: { stop(): Promise<void> }[] = []
    const servers: Server[] = []
    let database: TestDatabase
    let prometheus: Prometheus
    let writing: Promise<void> = Promise.resolve()
    let isOver = false
    const open: PoolClient[] = []

    const serve = async (listener: RequestListener): Promise<number> => {
      const server = createServer(listener).listen(0, '127.0.0.1')
      servers.push(server)
      await new Promise((resolve) => server.once('listening', resolve))
      return (server.address() as AddressInfo).port
    }
    const run = async (
      table: string,
      metrics: Metrics,
      projections: readonly Handling[],
      highWater:
        | { readonly mode: 'proof' }
        | { readonly mode: 'stale-threshold'; readonly thresholdMs: number },
      nodes?: NodesOptions,
    ): Promise<void> => {
      const { pool } = database
      const daemon = createDaemon({
        source: postgresEvents({ pool, table, appendedAt: 'appended_at', highWater }),
        checkpoints: postgresCheckpoints({ pool }),
        projections,
        staleAfterMs: 200,
        metrics,
        ...(nodes === undefined ? {} : { nodes }),
      })
      daemons.push(daemon)
      await daemon.start()
    }
    /** The version that is started first is the live one. */
    const makeLive = async (table: string, projection: Handling): Promise<void> => {
      const { pool } = database
      const checkpoints = postgresCheckpoints({ pool })
      const daemon = createDaemon({
        source: postgresEvents({ pool, table }),
        checkpoints,
        projections: [projection],
      })
      await daemon.start()
      const signal = new AbortController().signal
      await vi.waitFor(async () => expect(await checkpoints.list({}, signal)).toHaveLength(1), PATIENCE)
      await daemon.stop()
    }
    const append = (table: string) => database.pool.query(`insert into ${table} default values`)

    beforeAll(async () => {
      database = await testDatabase()
      for (const table of ['sales', 'legacy']) {
        await database.pool.query(
          `create table ${table} (position bigint generated always as identity primary key, appended_at timestamptz not null default clock_timestamp())`,
        )
      }
      const registry = new Registry()
      const exporter = new PrometheusExporter({ preventServerStart: true })
      const provider = new MeterProvider({ readers: [exporter] })
      const ofProm = promClientMetrics({ registry })
      const ofOpenTelemetry = openTelemetryMetrics({ meterProvider: provider })
      const ports = {
        'prom-client': await serve((_, response) => {
          response.setHeader('Content-Type', registry.contentType)
          void registry.metrics().then((text) => response.end(text))
        }),
        opentelemetry: await serve((request, response) =>
          exporter.getMetricsRequestHandler(request, response),
        ),
      }
      prometheus = await startPrometheus(ports)

      const slow: Handling = {
        name: 'balances',
        handle: () => new Promise((resolve) => setTimeout(resolve, 900)),
      }
      /** Beside the live one, and never as far: it replays to the end. */
      const replaying = (version: number): Handling => ({ ...slow, version, batchSize: 1 })
      const broken: Handling = {
        name: 'broken',
        attempts: 2,
        handle: () => {
          throw new Error('a handler that always fails')
        },
      }
      const proof = { mode: 'proof' } as const
      const stale = { mode: 'stale-threshold', thresholdMs: 50 } as const
      await makeLive('sales', slow)
      await run('sales', ofProm, [slow, broken, replaying(2)], proof)
      await run('sales', ofOpenTelemetry, [slow, replaying(3)], proof)
      await run('legacy', ofProm, [{ name: 'mailer', handle: () => {} }], stale, {})
      await run('legacy', ofOpenTelemetry, [{ name: 'ledger', handle: () => {} }], stale, {})
      for (const metrics of [ofProm, ofOpenTelemetry]) {
        for (const scenario of [subscriptionScenario, watchScenario]) {
          subscriptions.push(await scenario(metrics, realTime, (ms) => sleep(Math.min(ms, 1_000))))
        }
      }

      writing = (async () => {
        while (!isOver) {
          await append('sales')
          await append('legacy')
          // A number that is rolled back: proven empty in one store, skipped in the other.
          for (const table of ['sales', 'legacy']) {
            await database.pool.query(
              `do $$ begin insert into ${table} default values; raise 'no'; exception when others then end $$`,
            )
          }
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      })()
    }, 60_000)

    afterAll(async () => {
      isOver = true
      await writing
      for (const client of open) {
        await client.query('rollback')
        client.release()
      }
      await Promise.all(daemons.map((daemon) => daemon.stop()))
      await Promise.all(subscriptions.map((scenario) => scenario.stop()))
      for (const server of servers) server.close().closeAllConnections()
      await prometheus?.stop()
      await database?.drop()
    }, 60_000)

    test('every query of the dashboard returns data', async () => {
      // Gaps that close, and one that stays open.
      for (const kept of [false, false, true]) {
        const client = await database.pool.connect()
        open.push(client)
        await client.query('begin')
        await client.query('insert into sales default values')
        await new Promise((resolve) => setTimeout(resolve, 1_500))
        if (kept) break
        await client.query('commit')
      }
      const empty = new Map(queries.map(({ title, query }) => [query, title]))
      await vi.waitFor(async () => {
        for (const query of [...empty.keys()]) {
          const samples = await prometheus.query(query)
          if (samples.some(({ value }) => Number.isFinite(value))) empty.delete(query)
        }
        expect([...empty].map(([query, title]) => `${title}: ${query}`)).toEqual([])
      }, PATIENCE)
    }, 120_000)

    test.each(['prom-client', 'opentelemetry'])(
      'every metric that a panel or an alert names was there: %s',
      async (job) => {
        const missing = new Set(Object.keys(INSTRUMENTS))
        const named = [...queries.map(({ query }) => query), ...ALERTS.map(({ expr }) => expr)]
        const used = new Set(
          named.flatMap((query) => selectorsOf(query).flatMap(({ instruments }) => instruments)),
        )
        expect(used.size).toBe(missing.size)
        await vi.waitFor(async () => {
          for (const name of used) {
            const [found] = await prometheus.query(
              `count(last_over_time({__name__=~".+${name}(_total|_bucket)?", job="${job}"}[5m]))`,
            )
            if (found) missing.delete(name)
          }
          expect([...missing]).toEqual([])
        }, PATIENCE)
      },
      120_000,
    )

    test('skips alarm where they happen, under the names of both backends, and not in proof mode', async () => {
      const firing =
        'count by (projection_name) (ALERTS{alertname="TidemarkEventsSkipped", alertstate="firing"})'
      await vi.waitFor(async () => {
        const names = (await prometheus.query(firing)).map(({ metric }) => metric.projection_name).sort()
        expect(names).toEqual(['feed', 'invoices', 'ledger', 'mailer'])
      }, PATIENCE)
    }, 120_000)

    test('the open gap, the paused projection and the dropped subscription are pending or firing', async () => {
      await vi.waitFor(async () => {
        const names = (await prometheus.query('count by (alertname) (ALERTS)')).map(
          ({ metric }) => metric.alertname,
        )
        expect(names).toContain('TidemarkMarkStale')
        expect(names).toContain('TidemarkProjectionNotRunning')
        expect(names).toContain('TidemarkSubscriptionDropped')
      }, PATIENCE)
    }, 120_000)
  },
)
