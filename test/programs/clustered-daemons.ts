import cluster from 'node:cluster'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import { AggregatorRegistry } from 'prom-client'

// Every worker runs the same daemon: of nine positions, the sixth is rolled back and the eighth stays open until the mark is
// stale. The primary prints what prom-client makes of all their metrics.
const WORKERS = 3

// In a worker it answers the primary.
const registry = new AggregatorRegistry()

if (cluster.isPrimary) {
  for (let i = 0; i < WORKERS; i++) cluster.fork()
  for (let ready = 0; ready < WORKERS; ) {
    const [, message] = await once(cluster, 'message')
    if (message === 'ready') ready++
  }
  console.log(`${await registry.clusterMetrics()}\n# end`)
  cluster.disconnect()
} else {
  const events = inMemoryEvents<null>()
  const daemon = createDaemon({
    source: events,
    checkpoints: inMemoryCheckpoints(),
    projections: [{ name: 'balances', handle: () => {} }],
    staleAfterMs: 50,
    metrics: promClientMetrics(),
  })
  for (let i = 0; i < 5; i++) events.append('a', null)
  await daemon.start()
  await daemon.waitUntilProjected()
  const rolledBack = events.begin()
  rolledBack.append('a', null)
  rolledBack.rollback()
  events.append('a', null)
  await daemon.waitUntilProjected()
  const slow = events.begin()
  slow.append('a', null)
  events.append('a', null)
  while (!daemon.status().highWater.stale) await sleep(10)
  process.send?.('ready')
  process.once('disconnect', () => process.exit())
}
