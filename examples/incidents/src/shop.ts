import { createServer, type ServerResponse } from 'node:http'
import { createDaemon, createWatch, healthHandlers, type Logger } from '@tidemark/core'
import { promClientMetrics } from '@tidemark/core/prom-client'
import {
  postgresCheckpoints,
  postgresConsumers,
  postgresEvents,
  watchedPostgresEvents,
} from '@tidemark/pg-adapter'
import pg from 'pg'
import { register } from 'prom-client'
import { toShopEvent } from './event.ts'
import { createProjections, type Release } from './projections.ts'

// The shop: a process of its own, which a supervisor starts, again and again if need be.

const { DATABASE_URL, SHOP_RELEASE, SHOP_PORT, MAIL_URL = '' } = process.env
const LONGEST_STOP_MS = 3_000

const line = (level: string) => (message: string) => {
  console.log(`${new Date().toISOString()} ${level} ${message}`)
}
const logger: Logger = { info: line('info'), warn: line('warn'), error: line('error') }
const pool = new pg.Pool({ connectionString: DATABASE_URL, application_name: 'shop', max: 12 })
pool.on('error', ({ message }) => logger.warn(`a connection was lost: ${message}`))

const metrics = promClientMetrics()
const checkpoints = postgresCheckpoints({ pool })
const daemon = createDaemon({
  source: postgresEvents({
    pool,
    table: 'events',
    eventType: 'type',
    appendedAt: 'appended_at',
    mapRow: toShopEvent,
  }),
  checkpoints,
  projections: createProjections(SHOP_RELEASE as Release, MAIL_URL),
  metrics,
  logger,
})
const watch = createWatch({
  source: watchedPostgresEvents({ pool, table: 'events', eventType: 'type' }),
  consumers: postgresConsumers({
    pool,
    table: 'consumers',
    consumer: 'name',
    checkpoint: 'position',
    eventTypes: { invoices: ['OrderPlaced'] },
  }),
  ledger: checkpoints,
  metrics,
  logger,
})

const { live, ready } = healthHandlers(daemon)
const server = createServer((request, response) => {
  if (request.url === '/health/live') live(request, response)
  else if (request.url === '/health/ready') ready(request, response)
  else if (request.url === '/status') response.end(`${JSON.stringify(daemon.status(), null, 2)}\n`)
  else if (request.url === '/metrics') void answerMetrics(response)
  else response.writeHead(404).end('/health/live /health/ready /status /metrics\n')
}).listen(Number(SHOP_PORT), '127.0.0.1')

async function answerMetrics(response: ServerResponse): Promise<void> {
  try {
    response.end(await register.metrics())
  } catch (error) {
    response.writeHead(500).end(`${String(error)}\n`)
  }
}

let isStopping = false
async function stop(): Promise<void> {
  if (isStopping) return
  isStopping = true
  setTimeout(() => process.exit(1), LONGEST_STOP_MS).unref()
  server.close()
  server.closeAllConnections()
  await Promise.all([watch.stop(), daemon.stop()])
  await pool.end()
  process.exit()
}
// Its supervisor stops it. A Ctrl-C of the terminal is for the supervisor.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => void stop())
process.on('disconnect', () => void stop())

logger.info(`shop ${SHOP_RELEASE} starts, pid ${process.pid}`)
await daemon.start()
await watch.start()
