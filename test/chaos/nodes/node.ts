import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import type { Told } from '../../programs/nodes-projections.ts'
import { programPath } from '../../support/program.ts'
import { until } from '../until.ts'

/** Of a node that could not start, as while the server is down: it is started again, as by Kubernetes. */
const COULD_NOT_START = 75
const AGAIN_AFTER_MS = 300
const KEPT_LINES = 40
const STOPS_WITHIN_MS = 60_000

/** One of the processes, and those that take its place. */
export class ChaosNode {
  readonly #url: string
  #child: ChildProcess | undefined
  #isEarlier = false
  #isReady = false
  #lines: string[] = []
  /** What a process has done that none may do. */
  readonly faults: string[] = []

  constructor(url: string) {
    this.#url = url
    onTestFinished(() => this.kill())
  }

  /** The last that its processes have said. */
  get lines(): readonly string[] {
    return this.#lines
  }

  start(isEarlier: boolean = this.#isEarlier): void {
    this.#isEarlier = isEarlier
    this.#isReady = false
    const child = fork(programPath('nodes-node'), ['--url', this.#url, ...(isEarlier ? ['--earlier'] : [])], {
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue
      createInterface(stream).on('line', (line) => {
        if (line === 'ready') this.#isReady = true
        this.#lines = [...this.#lines, `${child.pid}: ${line}`].slice(-KEPT_LINES)
      })
    }
    // What it was told after it has ended.
    child.on('error', () => {})
    child.once('close', (code, signal) => void this.#closed(child, code, signal))
  }

  get isEarlier(): boolean {
    return this.#isEarlier
  }

  /** SIGKILL: it gets to do nothing any more. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child !== undefined) await end(child, 'SIGKILL')
  }

  /** SIGTERM: it drains. */
  async terminate(): Promise<void> {
    // Before that it has no handler of the signal.
    await until('the node is ready', () => this.#isReady)
    const child = this.#child
    this.#child = undefined
    if (child === undefined) return
    const ended = await Promise.race([end(child, 'SIGTERM'), sleep(STOPS_WITHIN_MS, 'late' as const)])
    if (ended === 'late') {
      this.faults.push(`it did not stop within ${STOPS_WITHIN_MS} ms`)
      await end(child, 'SIGKILL')
    } else if (child.exitCode !== 0 && child.exitCode !== COULD_NOT_START) {
      this.faults.push(`told to stop, it ended with ${child.exitCode ?? child.signalCode}`)
    }
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  tell(told: Told): void {
    if (this.#child?.connected) this.#child.send(told, () => {})
  }

  /** As it says itself; `undefined` where it does not answer. */
  async status(): Promise<string | undefined> {
    const child = this.#child
    if (child === undefined) return undefined
    const answered = once(child, 'message').then(([said]) => String(said))
    this.tell({ kind: 'status' })
    return await Promise.race([answered, sleep(5_000, undefined)])
  }

  async #closed(child: ChildProcess, code: number | null, signal: string | null): Promise<void> {
    if (this.#child !== child) return
    if (code !== COULD_NOT_START) {
      this.faults.push(`it ended by itself, with ${code ?? signal}:\n${this.#lines.join('\n')}`)
    }
    await sleep(AGAIN_AFTER_MS)
    if (this.#child === child) this.start()
  }
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  // Not 'exit': what it has said may still be on its way then.
  const closed = once(child, 'close')
  child.kill(signal)
  await closed
}
