import { execFile } from 'node:child_process'
import { chown, cp, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isTraversable, serverAccount, temporaryRoot } from './account.ts'
import { nativeFolder } from './binaries.ts'
import { freePort } from './free-port.ts'
import { DEFAULT_MAJOR, type Major } from './majors.ts'
import { Postmaster, type StopMode } from './postmaster.ts'
import { startReaper } from './reaper.ts'

const HOST = '127.0.0.1'

const PORT_ATTEMPTS = 5

const DEFAULT_SETTINGS = {
  max_connections: '100',
  max_prepared_transactions: '20',
  unix_socket_directories: '',
}

export interface StartPostgresOptions {
  /** @default 18. The others have to be installed first, see install-majors.ts. */
  readonly major?: Major
  /** Settings for every start, over the defaults of {@link DEFAULT_SETTINGS}. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A PostgreSQL server of one's own. Its superuser is `postgres`, and every connection is trusted. */
export interface EmbeddedPostgres {
  readonly major: Major
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** The connection string of the database `postgres`. */
  readonly url: string
  /** Process id of the server's main process; throws when it does not run. */
  readonly postmasterPid: number
  connectionString(database?: string): string
  /** Does nothing when stopped already. @default 'fast' */
  stop(mode?: StopMode): Promise<void>
  /** Starts it again after a stop, on the same port and data; these settings are added for good. */
  start(settings?: Readonly<Record<string, string>>): Promise<void>
  /** Stops it at once and deletes its folder. May be called twice. */
  dispose(): Promise<void>
}

/**
 * Creates a cluster in a temporary folder and starts it on a free port of 127.0.0.1.
 * Server and folder go with `dispose`, and by themselves when this process ends, however it ends.
 */
export async function startPostgres(options: StartPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const major = options.major ?? DEFAULT_MAJOR
  const account = serverAccount()
  const folder = await mkdtemp(join(temporaryRoot(account), 'tidemark-postgres-'))
  const reaper = startReaper(folder)
  try {
    if (account) await chown(folder, account.uid, account.gid)
    const native = await reachableBinaries(nativeFolder(major), folder, account !== undefined)
    const dataDir = join(folder, 'data')
    await promisify(execFile)(
      join(native, 'bin', 'initdb'),
      [
        '-D',
        dataDir,
        '-U',
        'postgres',
        '-A',
        'trust',
        '-E',
        'UTF8',
        '--locale=C',
        '--no-sync',
        '--no-instructions',
      ],
      { cwd: folder, ...account },
    )

    let settings: Readonly<Record<string, string>> = { ...DEFAULT_SETTINGS, ...options.settings }
    const startOn = (port: number) =>
      Postmaster.start({ folder, dataDir, native, account, host: HOST, port, settings })
    const first = await startOnFreePort(startOn)
    const port = first.port
    let postmaster = first.postmaster
    const connectionString = (database = 'postgres') =>
      `postgresql://postgres@${HOST}:${port}/${encodeURIComponent(database)}`

    return {
      major,
      host: HOST,
      port,
      dataDir,
      url: connectionString(),
      get postmasterPid() {
        if (!postmaster.running) throw new Error('this PostgreSQL is stopped')
        return postmaster.pid
      },
      connectionString,
      stop: (mode = 'fast') => postmaster.stop(mode),
      start: async (more = {}) => {
        if (postmaster.running) throw new Error('this PostgreSQL runs already')
        settings = { ...settings, ...more }
        postmaster = await startOn(port)
      },
      dispose: async () => {
        await postmaster.stop('immediate')
        await rm(folder, { recursive: true, force: true })
        await reaper.release()
      },
    }
  } catch (error) {
    await reaper.release()
    throw error
  }
}

/** Below a folder that the server's account may not enter (a checkout in a private home) the binaries are copied out. */
async function reachableBinaries(native: string, folder: string, otherAccount: boolean): Promise<string> {
  if (!otherAccount || isTraversable(native)) return native
  const copy = join(folder, 'native')
  await cp(native, copy, { recursive: true, verbatimSymlinks: true })
  return copy
}

async function startOnFreePort(
  startOn: (port: number) => Promise<Postmaster>,
): Promise<{ port: number; postmaster: Postmaster }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(HOST)
    try {
      return { port, postmaster: await startOn(port) }
    } catch (error) {
      const taken = error instanceof Error && error.message.includes('Address already in use')
      if (!taken || attempt === PORT_ATTEMPTS) throw error
    }
  }
}
