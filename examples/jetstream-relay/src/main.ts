import { once } from 'node:events'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { createDaemon } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { toEvent } from './event.ts'
import { relayProjection } from './projection.ts'
import { readSettings } from './settings.ts'
import { startRelay } from './start-relay.ts'

const settings = readSettings()
const pool = new pg.Pool({ connectionString: settings.databaseUrl, max: 4 })
pool.on('error', (error) => console.error('an idle connection was lost', error.message))
const nats = await connect({
  name: 'jetstream-relay',
  servers: settings.natsUrl,
  waitOnFirstConnect: true,
  maxReconnectAttempts: -1,
  reconnectTimeWait: 500,
})
const jsm = await jetstreamManager(nats, { checkAPI: false, timeout: 2_000 })
const relay = await startRelay({ ...settings, nats, js: jetstream(nats), jsm, pool, logger: console })

const daemon = createDaemon({
  source: postgresEvents({ pool, table: 'events', eventType: 'type', mapRow: toEvent }),
  checkpoints: postgresCheckpoints({ pool }),
  projections: [relayProjection(relay)],
  logger: console,
})
await daemon.start()
console.log('relaying; Ctrl-C stops it')
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
await daemon.stop()
await nats.close()
await pool.end()
