import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { serverAccount, temporaryRoot } from './account.ts'
import { freePort } from './free-port.ts'
import type { EmbeddedPostgres } from './start-postgres.ts'

/** What needs it is skipped where it is not installed, and fails all the same in CI, which installs it. */
export const hasPgBouncer: boolean =
  process.env.CI === 'true' || spawnSync('pgbouncer', ['--version']).error === undefined

export interface PgBouncer {
  connectionString(database?: string): string
  stop(): Promise<void>
}

/** A pooler in transaction mode in front of that server, which knows all by one role; settings as in the section `[pgbouncer]`. */
export async function startPgBouncer(
  server: EmbeddedPostgres,
  settings: Readonly<Record<string, string>> = {},
  user = 'postgres',
): Promise<PgBouncer> {
  const account = serverAccount()
  const folder = await mkdtemp(join(temporaryRoot(account), 'tidemark-pgbouncer-'))
  const port = await freePort(server.host)
  const all = {
    listen_addr: server.host,
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: 'transaction',
    ...settings,
  }
  const config = join(folder, 'pgbouncer.ini')
  await writeFile(
    config,
    [
      '[databases]',
      `* = host=${server.host} port=${server.port} user=${user}`,
      '[pgbouncer]',
      ...Object.entries(all).map(([name, value]) => `${name} = ${value}`),
      '',
    ].join('\n'),
  )
  if (account) {
    await chown(folder, account.uid, account.gid)
    await chown(config, account.uid, account.gid)
  }
  const child = spawn('pgbouncer', ['--quiet', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
    ...account,
  })
  // Where this process ends early, so does the pooler.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)

  const stop = async () => {
    process.removeListener('exit', kill)
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(folder, { recursive: true, force: true })
  }
  const connectionString = (database = 'postgres') =>
    `postgresql://postgres@${server.host}:${port}/${encodeURIComponent(database)}`

  let failure: Error | undefined
  child.once('error', (error) => {
    failure = error
  })
  for (const deadline = Date.now() + 10_000; ; ) {
    const client = new Client(connectionString())
    client.on('error', () => {})
    try {
      await client.connect()
      await client.end()
      return { connectionString, stop }
    } catch (error) {
      if (failure === undefined && child.exitCode === null && Date.now() < deadline) {
        await sleep(20)
        continue
      }
      await stop()
      throw new Error('PgBouncer did not start', { cause: failure ?? error })
    }
  }
}
