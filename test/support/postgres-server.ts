import { type EmbeddedPostgres, isMajor, startPostgres } from '@tidemark-internal/embedded-postgres'
import { Client } from 'pg'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server of the run, for {@link testDatabase}. */
    postgresUrl: string
  }
}

interface Running {
  readonly server: Promise<EmbeddedPostgres>
  users: number
}

// Every project loads this file anew; they share one server of each major all the same.
const shared = globalThis as typeof globalThis & { tidemarkServers?: Map<number, Running> }

/** Starts the one server of the run, or finds it started by another project. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const major = Number(project.config.env.TIDEMARK_POSTGRES_MAJOR)
  if (!isMajor(major)) throw new Error(`TIDEMARK_POSTGRES_MAJOR is ${major}: there is no such server`)
  shared.tidemarkServers ??= new Map()
  const running = shared.tidemarkServers.get(major) ?? { server: startPostgres({ major }), users: 0 }
  shared.tidemarkServers.set(major, running)
  running.users++
  project.provide('postgresUrl', (await running.server).url)

  return async () => {
    running.users--
    if (running.users > 0) return
    shared.tidemarkServers?.delete(major)
    const server = await running.server
    try {
      await assertNothingLeaked(server.url)
    } finally {
      await server.dispose()
    }
  }
}

/** A run that leaves a session, a prepared transaction or a database on its server has failed. */
async function assertNothingLeaked(url: string): Promise<void> {
  const client = new Client(url)
  await client.connect()
  const { rows } = await client.query<{ leak: string }>(`
    select format('session of %s: %s %s', datname, state, left(query, 200)) as leak
      from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
    union all
    select format('prepared transaction of %s: %s', database, gid) from pg_prepared_xacts
    union all
    select format('database %s', datname) from pg_database where datname like 'test\\_%'`)
  await client.end()
  if (rows.length > 0) {
    process.exitCode = 1
    throw new Error(`tests left behind on the server:\n${rows.map((row) => `  ${row.leak}`).join('\n')}`)
  }
}
