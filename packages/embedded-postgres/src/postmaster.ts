import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { Account } from './account.ts'

/** smart: waits for the clients; fast: ends their sessions; immediate: as a crash, with recovery at the next start. */
export type StopMode = 'smart' | 'fast' | 'immediate'

const SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const

const START_TIMEOUT_MS = 60_000

export interface PostmasterOptions {
  readonly folder: string
  readonly dataDir: string
  readonly native: string
  readonly account: Account | undefined
  readonly host: string
  readonly port: number
  readonly settings: Readonly<Record<string, string>>
}

/** One run of the server process, from start to exit. */
export class Postmaster {
  readonly #child: ChildProcess
  readonly #exited: Promise<void>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#exited = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => resolve())
    })
    this.#exited.catch(() => {})
    // The reaper ends the server when this process ends: the server need not keep it alive.
    child.unref()
  }

  /** Resolves when the server accepts connections. */
  static async start(options: PostmasterOptions): Promise<Postmaster> {
    const logFile = join(options.folder, 'server.log')
    const log = openSync(logFile, 'w')
    const settings = { ...options.settings, listen_addresses: options.host, port: String(options.port) }
    // Detached: Ctrl-C in a terminal would otherwise stop the server before its clients have drained.
    const child = spawn(
      join(options.native, 'bin', 'postgres'),
      [
        '-D',
        options.dataDir,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      { cwd: options.folder, detached: true, stdio: ['ignore', log, log], ...options.account },
    )
    closeSync(log)
    const postmaster = new Postmaster(child)
    try {
      await postmaster.#acceptsConnections(options)
    } catch (error) {
      await postmaster.stop('immediate').catch(() => {})
      throw new Error(`PostgreSQL did not start; it said:\n${readFileSync(logFile, 'utf8').slice(-4000)}`, {
        cause: error,
      })
    }
    return postmaster
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves when the process is gone; does nothing when it is gone already. */
  async stop(mode: StopMode): Promise<void> {
    if (!this.running) return
    this.#child.ref()
    this.#child.kill(SIGNALS[mode])
    await this.#exited
  }

  async #acceptsConnections({ host, port }: PostmasterOptions): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS
    for (;;) {
      const client = new Client({ host, port, user: 'postgres', database: 'postgres' })
      client.on('error', () => {})
      try {
        await client.connect()
        await client.end()
        return
      } catch (error) {
        if (!this.running || Date.now() > deadline) throw error
        await sleep(10)
      }
    }
  }
}
