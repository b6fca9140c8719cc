import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const RESTART_AFTER_MS = 1_000
const KILL_AFTER_MS = 5_000

/** Runs one program, starts it again whenever it ends, and keeps what it says in a log. */
export class Supervisor {
  readonly #program: string
  readonly #log: number
  #env: Readonly<Record<string, string>>
  #child: ChildProcess
  #timer: NodeJS.Timeout | undefined
  /** Of ends that nobody has asked for. */
  ends = 0

  /** `program`: `shop`. `env`: besides that of this process. */
  constructor(program: string, logFile: string, env: Readonly<Record<string, string>>) {
    this.#program = program
    this.#log = openSync(logFile, 'a')
    this.#env = env
    this.#child = this.#start()
  }

  /** Stops it in order, and starts it with these variables changed. `meanwhile` is awaited in between. */
  async restart(
    env: Readonly<Record<string, string>>,
    meanwhile: () => Promise<void> = async () => {},
  ): Promise<void> {
    await this.#end()
    await meanwhile()
    this.#env = { ...this.#env, ...env }
    this.#child = this.#start()
  }

  async stop(): Promise<void> {
    await this.#end()
    closeSync(this.#log)
  }

  #start(): ChildProcess {
    const child = spawn(process.execPath, [fileURLToPath(new URL(`${this.#program}.js`, import.meta.url))], {
      env: { ...process.env, ...this.#env },
      // The channel: when this process is gone, the program knows.
      stdio: ['ignore', this.#log, this.#log, 'ipc'],
    })
    child.once('exit', (code, signal) => {
      if (this.#child !== child) return
      this.ends++
      this.#say(`ended with ${signal ?? `exit status ${code}`}, starts again`)
      this.#timer = setTimeout(() => {
        this.#child = this.#start()
      }, RESTART_AFTER_MS)
    })
    return child
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer)
    const child = this.#child
    child.removeAllListeners('exit')
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
    await ended
    clearTimeout(timer)
    this.#say('was stopped')
  }

  #say(text: string): void {
    writeSync(this.#log, `${new Date().toISOString()} supervisor: ${this.#program} ${text}\n`)
  }
}
