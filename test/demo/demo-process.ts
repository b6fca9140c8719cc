import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serverAccount, temporaryRoot } from '@tidemark-internal/embedded-postgres'
import { vi } from 'vitest'
import { Scrape } from './scrape.ts'

const programPath = (name: string): string =>
  fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))

/** The object of `--json`. */
export interface DemoResult {
  readonly mode: string
  readonly postgres: string
  readonly seconds: number
  readonly appended: number
  readonly rolledBack: number
  readonly projections: readonly {
    readonly name: string
    readonly handled: number
    readonly lost: number
    readonly duplicated: number
    readonly outOfOrder: number
    readonly skipped: number
  }[]
  readonly delayMs: { readonly p50: number; readonly p99: number }
  readonly provenEmpty: number
}

/** The demo as a process of its own, with a folder for temporary files that is its own too. */
export class DemoProcess {
  readonly child: ChildProcess
  readonly #folder: string
  stdout = ''
  stderr = ''

  private constructor(child: ChildProcess, folder: string) {
    this.child = child
    this.#folder = folder
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
  }

  /** The demo of the daemon, with a port of its own unless `args` name one. */
  static async start(...args: string[]): Promise<DemoProcess> {
    return await DemoProcess.#run('demo/dist/main.js', ['--port', '0', ...args])
  }

  /** The demo of the watch. */
  static async startWatch(...args: string[]): Promise<DemoProcess> {
    return await DemoProcess.#run('demo/dist/watch/main.js', args)
  }

  /** An incident to solve. */
  static async startIncident(number: string): Promise<DemoProcess> {
    return await DemoProcess.#run('incidents/dist/main.js', [number])
  }

  static async #run(program: string, args: readonly string[]): Promise<DemoProcess> {
    const folder = await mkdtemp(join(temporaryRoot(serverAccount()), 'tidemark-demo-test-'))
    // The server's account has to reach into it.
    await chmod(folder, 0o755)
    const child = spawn(process.execPath, [programPath(program), ...args], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new DemoProcess(child, folder)
  }

  /** Its exit status; `null` when a signal ended it. */
  async exitStatus(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close')
    return this.child.exitCode
  }

  async untilItSays(text: string, { timeout = 30_000 }: { readonly timeout?: number } = {}): Promise<void> {
    await vi.waitFor(
      () => {
        if (!this.stderr.includes(text)) throw new Error(`not said yet: ${text}\n${this.stderr}`)
      },
      { timeout },
    )
  }

  result<T = DemoResult>(): T {
    return JSON.parse(this.stdout.trimEnd().split('\n').at(-1) ?? '') as T
  }

  /** What `/metrics` shows now. */
  async scrape(): Promise<Scrape> {
    return new Scrape(await this.metrics())
  }

  /** The same, as it is served. */
  async metrics(): Promise<string> {
    const response = await fetch(this.metricsUrl())
    const text = await response.text()
    if (!response.ok) throw new Error(`${response.status} ${text}`)
    return text
  }

  metricsUrl(): string {
    const [, url] = /(http:\S+\/metrics)$/m.exec(this.stderr) ?? []
    if (url === undefined) throw new Error(`no metrics yet:\n${this.stderr}`)
    return url
  }

  /** Its embedded server, while there is one. */
  async server(): Promise<{ readonly pid: number; readonly url: string }> {
    const [server] = await this.leftBehind()
    const pidFile = await readFile(join(this.#folder, server ?? '', 'data', 'postmaster.pid'), 'utf8')
    const [pid, , , port] = pidFile.split('\n')
    return { pid: Number(pid), url: `postgresql://postgres@127.0.0.1:${port}/postgres` }
  }

  async leftBehind(): Promise<readonly string[]> {
    return await readdir(this.#folder)
  }

  async dispose(): Promise<void> {
    if (this.child.exitCode === null) this.child.kill('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
