import type { Pool } from 'pg'
import { onTestFinished } from 'vitest'
import { type DaemonProcess, spawnDaemon } from '../../chaos/processes.ts'
import { until } from '../../chaos/until.ts'
import { testDatabase } from '../../support/database.ts'
import { type EsdbServer, startEsdbServer } from '../../support/esdb-server/server.ts'
import { type Client, clientName, connect } from '../client.ts'

/** Where checkpoints are: with the effects, in their transaction, or in the store of the events. */
export type Checkpoints = 'postgres' | 'esdb'

/** A server, and a database for what comes of its events. */
export interface ChaosRig {
  readonly server: EsdbServer
  /** A client of this process, disposed of when the test has finished. */
  connect(): Client
  readonly pool: Pool
  /** Started: test/programs/esdb-projections.ts. */
  spawnDaemon(options: Readonly<Record<string, string>>): Promise<DaemonProcess>
}

/**
 * Above what the server takes for an answer, and little beside what a fault lasts: calls that hang are given up in some
 * runs of a fault, and in others outlive it.
 */
const TIMEOUT_MS = 1_000

/** It shows what arrived, how often, in which order, and what was handled together. */
const HANDLED = `
  create table handled (
    arrival bigserial,
    projection text not null,
    batch text not null,
    position text not null,
    id text not null
  );
  create index on handled (projection, id)`

/** Ended when the test has finished. */
export async function chaosRig(checkpoints: Checkpoints): Promise<ChaosRig> {
  const server = await startEsdbServer()
  const clients: Client[] = []
  const { pool, url, drop } = await testDatabase()
  onTestFinished(async () => {
    await Promise.all(clients.map((client) => client.dispose()))
    await server.stop()
    await until('the sessions of killed processes have ended', async () => {
      const { rows } = await pool.query(
        'select count(*)::int as n from pg_stat_activity where datname = current_database() and backend_type = $1',
        ['client backend'],
      )
      return rows[0].n <= pool.totalCount
    })
    await drop()
  })
  await pool.query(HANDLED)
  return {
    server,
    connect: () => {
      const client = connect(server)
      clients.push(client)
      return client
    },
    pool,
    spawnDaemon: (options) =>
      spawnDaemon(
        {
          client: clientName,
          esdb: server.connectionString,
          url,
          checkpoints,
          'timeout-ms': String(TIMEOUT_MS),
          ...options,
        },
        'esdb-projections',
      ),
  }
}
