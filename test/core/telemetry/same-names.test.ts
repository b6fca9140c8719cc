import { promClientMetrics } from '@tidemark/core/prom-client'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { recording, rig, stopAll } from '../rig.ts'

afterEach(async () => {
  expect(await stopAll(), 'timers left behind').toBe(0)
})

test('of two tenants of the same names the worse values are shown, and one warning says so', async () => {
  const registry = new Registry()
  const metrics = promClientMetrics({ registry })
  const warn = vi.fn()
  const logger = { info: () => {}, warn, error: () => {} }
  const [broken, well] = [rig(), rig()]
  const fail = (): never => {
    throw new Error('broken for this tenant')
  }
  await broken.daemon([{ name: 'balances', attempts: 1, handle: fail }], { metrics, logger }).start()
  await well.daemon([recording('balances')], { metrics, logger }).start()
  broken.events.append('a', 1)
  for (let n = 0; n < 3; n++) well.events.append('a', n)
  await broken.clock.advance(5_000)
  await well.clock.advance(60_000)

  const scrape = await registry.metrics()
  const shown = (series: string): string | undefined =>
    scrape
      .split('\n')
      .find((line) => line.startsWith(`martend_async_daemon_${series} `))
      ?.split(' ')[1]
  expect(shown('projection_state{projection_name="balances",state="paused"}')).toBe('1')
  expect(shown('projection_state{projection_name="balances",state="live"}')).toBe('0')
  expect(shown('high_water_mark{source="in-memory"}')).toBe('1')
  expect(shown('store_head{source="in-memory"}')).toBe('3')
  const polledAtSeconds = Number(shown('last_successful_poll_timestamp_seconds{source="in-memory"}'))
  expect(polledAtSeconds).toBeLessThanOrEqual(broken.clock.nowMs() / 1_000)
  expect(warn.mock.calls).toEqual([
    [expect.stringContaining('metrics of the source "in-memory"')],
    [expect.stringContaining('metrics of the projection "balances"')],
  ])
})
