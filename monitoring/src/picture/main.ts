import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { OF_WATCHED_CONSUMERS } from '../watch-panels.ts'
import { startDemo } from './demo.ts'
import { drawRow } from './draw.ts'
import { type Prometheus, startPrometheus, type TimeRange } from './prometheus.ts'
import { fill, panelsOf } from './row.ts'

const DEMO_SECONDS = 60
const DASHBOARD = new URL('../../dashboard.json', import.meta.url)
const PICTURE = new URL('../../../docs/watched-consumers.svg', import.meta.url)
/** A gauge that every watched consumer has from its first look to its last. */
const ALWAYS_THERE = 'martend_async_daemon_consumer_checkpoint_age_seconds'

if (spawnSync('prometheus', ['--version']).error !== undefined) {
  console.error(
    'Prometheus is not installed: it answers the queries of the dashboard. apt-get install prometheus',
  )
  process.exit(1)
}
const { title } = OF_WATCHED_CONSUMERS
const panels = panelsOf(JSON.parse(await readFile(DASHBOARD, 'utf8')), title)
const demo = await startDemo(DEMO_SECONDS)
const prometheus = await startPrometheus({ ports: { demo: demo.port } })
try {
  await demo.ended
  const range = await scraped(prometheus)
  const filled = await Promise.all(panels.map((panel) => fill(panel, prometheus, range)))
  await writeFile(PICTURE, drawRow(title, filled, range))
  console.log(fileURLToPath(PICTURE))
} finally {
  await prometheus.stop()
}

/** From the first sample to the last one. */
async function scraped({ query }: Prometheus): Promise<TimeRange> {
  const moment = async (which: 'min' | 'max'): Promise<number> => {
    const [found] = await query(`${which}(${which}_over_time(timestamp(${ALWAYS_THERE})[1h:1s]))`)
    if (found === undefined) throw new Error('Prometheus has scraped no watched consumer')
    return found.value
  }
  return { start: await moment('min'), end: await moment('max') }
}
