import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished, vi } from 'vitest'

/** A program in a process of its own, which ends with the test at the latest, and what it says. */
export interface ChildProgram {
  /** Standard output and error so far. */
  readonly output: () => string
  /** Resolves to the first group of the first match in the output. */
  readonly said: (what: RegExp) => Promise<string>
  readonly kill: ChildProcess['kill']
  /** Exit status and signal. */
  readonly exit: Promise<unknown[]>
}

export function startProgram(path: string, env: Record<string, string> = {}): ChildProgram {
  const child = spawn(process.execPath, [path], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk)
    })
  }
  return {
    output: () => output,
    said: (what) =>
      vi.waitFor(
        () => {
          const match = what.exec(output)
          if (match === null) throw new Error(`${path} has not said ${what}, but: ${output}`)
          return match[1] ?? match[0]
        },
        { timeout: 30_000, interval: 50 },
      ),
    kill: (signal) => child.kill(signal),
    // Not `exit`: what it said last may come after that.
    exit: once(child, 'close'),
  }
}
