import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { because, isSkipped, type Prometheus, startPrometheus } from '../monitoring/prometheus.ts'
import { DemoProcess } from './demo-process.ts'

const PROJECTIONS = ['balances', 'journal', 'letters', 'refunds']
const NO_SKIPS = { balances: 0, journal: 0, letters: 0, refunds: 0 }
const PATIENCE = { timeout: 90_000, interval: 200 }
const TEST_TIMEOUT = 180_000
/** How often the rule has to find nothing, after the demo is done, before its silence counts. */
const EVALUATIONS = 5

const COMMON = ['--seconds', '3', '--writers', '2', '--linger-seconds', '600', '--json']

// Both at once, each scraped under the name of its mode.
describe.skipIf(isSkipped)(
  `the alert on skipped events, on the demo and in a real Prometheus${because}`,
  () => {
    const demos: DemoProcess[] = []
    let proof: DemoProcess
    let prometheus: Prometheus

    const start = async (...args: string[]): Promise<DemoProcess> => {
      const demo = await DemoProcess.start(...COMMON, ...args)
      demos.push(demo)
      await demo.untilItSays('Metrics are at ')
      return demo
    }
    const port = (demo: DemoProcess): number => Number(new URL(demo.metricsUrl()).port)

    beforeAll(async () => {
      proof = await start('--mode', 'proof')
      const fallback = await start('--mode', 'stale-threshold', '--threshold-ms', '50')
      prometheus = await startPrometheus({ proof: port(proof), fallback: port(fallback) })
    })

    afterAll(async () => {
      await prometheus?.stop()
      // In order, so that their servers end with them.
      for (const demo of demos) demo.child.kill('SIGINT')
      for (const demo of demos) {
        await demo.exitStatus()
        await demo.dispose()
      }
    })

    async function alertsOf(job: string) {
      const { health, lastEvaluation, alerts } = await prometheus.rule('TidemarkEventsSkipped')
      expect(health).toBe('ok')
      return { lastEvaluation, alerts: alerts.filter(({ labels }) => labels.job === job) }
    }

    async function skippedEvents(job: string) {
      const samples = await prometheus.query(
        `sum by (projection_name) (martend_async_daemon_skipped_events{job="${job}"})`,
      )
      return Object.fromEntries(samples.map(({ metric, value }) => [metric.projection_name, value]))
    }

    test(
      'fires in the fallback mode, for each projection',
      async () => {
        await vi.waitFor(async () => {
          const { alerts } = await alertsOf('fallback')
          const firing = alerts.filter(({ state }) => state === 'firing')
          expect(firing.map(({ labels }) => labels.projection_name).sort()).toEqual(PROJECTIONS)
        }, PATIENCE)
      },
      TEST_TIMEOUT,
    )

    test(
      'stays silent in the default mode, whose skips are there to be judged, and 0',
      async () => {
        await proof.untilItSays('Metrics stay at ', PATIENCE)
        const evaluations = new Set<string>()
        await vi.waitFor(async () => {
          evaluations.add((await alertsOf('proof')).lastEvaluation)
          expect(evaluations.size).toBeGreaterThan(EVALUATIONS)
        }, PATIENCE)
        expect(await skippedEvents('proof')).toEqual(NO_SKIPS)
        expect((await alertsOf('proof')).alerts).toEqual([])
        const ever = 'last_over_time(ALERTS{alertname="TidemarkEventsSkipped", job="proof"}[1h])'
        expect(await prometheus.query(ever)).toEqual([])
      },
      TEST_TIMEOUT,
    )
  },
)
