import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import { programPath } from '../support/program.ts'

/** A program of test/programs that runs daemons, as a process of its own. */
export interface DaemonProcess {
  readonly pid: number
  /** Every line that it has said so far; once it was killed, all that it ever will. */
  readonly said: readonly string[]
  /** Resolves when it has said that word once more. */
  says(word: string): Promise<void>
  /** SIGKILL: it gets to do nothing any more. */
  kill(): Promise<void>
  /** SIGTERM: it drains. Resolves with its exit status when it has ended by itself. */
  terminate(): Promise<number | null>
}

export async function spawnDaemon(
  options: Readonly<Record<string, string | true>>,
  program = 'daemon',
): Promise<DaemonProcess> {
  const args = Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, value],
  )
  const child = spawn(process.execPath, [programPath(program), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => end(child, 'SIGKILL').then(() => {}))
  const lines = createInterface(child.stdout)
  const said: string[] = []
  lines.on('line', (line) => said.push(line))
  const says = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const onLine = (line: string): void => {
        if (line === word) settle(resolve)
      }
      const onExit = (): void => settle(() => reject(new Error(`it ended before it said "${word}"`)))
      const settle = (how: () => void): void => {
        lines.removeListener('line', onLine)
        child.removeListener('exit', onExit)
        how()
      }
      lines.on('line', onLine)
      child.once('exit', onExit)
    })
  await says('started')
  return {
    pid: child.pid as number,
    said,
    says,
    kill: async () => {
      await end(child, 'SIGKILL')
    },
    terminate: () => end(child, 'SIGTERM'),
  }
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  // Not 'exit': what it has said may still be on its way then.
  const closed = once(child, 'close')
  child.kill(signal)
  await closed
  return child.exitCode
}
