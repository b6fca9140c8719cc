import { availableParallelism, cpus, loadavg } from 'node:os'
import {
  DEFAULT_MAJOR,
  type EmbeddedPostgres,
  isMajor,
  startPostgres,
} from '@tidemark-internal/embedded-postgres'

/**
 * A server of the benchmark's own. Commits are flushed as they are by default; no checkpoint of the server and no
 * vacuum falls into a measurement.
 */
async function startServer(
  settings: Readonly<Record<string, string>>,
  major: number,
): Promise<EmbeddedPostgres> {
  if (!isMajor(major)) throw new RangeError(`--postgres ${major}: a major that the tests know`)
  const server = await startPostgres({
    major,
    settings: {
      ...settings,
      shared_buffers: '512MB',
      max_wal_size: '16GB',
      checkpoint_timeout: '1h',
      autovacuum: 'off',
    },
  })
  console.log(`PostgreSQL ${server.major} on ${server.host}, ${describeMachine()}`)
  return server
}

export function describeMachine(): string {
  const load = loadavg().map((average) => average.toFixed(2))
  return (
    `node ${process.version}, ${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ` +
    `load before ${load.join(' ')}`
  )
}

/** Disposes of the server however `use` ends. */
export async function withServer(
  use: (server: EmbeddedPostgres) => Promise<void>,
  settings: Readonly<Record<string, string>> = {},
  major: number = DEFAULT_MAJOR,
): Promise<void> {
  const server = await startServer(settings, major)
  try {
    await use(server)
  } finally {
    await server.dispose()
  }
}
