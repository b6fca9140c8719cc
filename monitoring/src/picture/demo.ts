import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface RunningDemo {
  /** Of its `/metrics`. */
  readonly port: number
  /** Resolves when it has come to its end. Rejects where it failed. */
  readonly ended: Promise<void>
}

const PROGRAM = fileURLToPath(new URL('../../../examples/demo/dist/watch/main.js', import.meta.url))
const METRICS = /http:\/\/[^:]+:(\d+)\/metrics/

/** Starts `pnpm demo:watch`; what it says goes to standard error. */
export async function startDemo(seconds: number): Promise<RunningDemo> {
  const demo = spawn(process.execPath, [PROGRAM, '--seconds', String(seconds)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  process.once('exit', () => void demo.kill())
  const ended = once(demo, 'exit').then(([status]) => {
    if (status !== 0) throw new Error(`pnpm demo:watch has ended with status ${status}`)
  })
  const port = new Promise<number>((resolve) => {
    createInterface(demo.stderr).on('line', (line) => {
      console.error(line)
      const [, found] = METRICS.exec(line) ?? []
      if (found !== undefined) resolve(Number(found))
    })
  })
  const early = ended.then(() => {
    throw new Error('pnpm demo:watch has ended before it said where its /metrics are')
  })
  return { port: await Promise.race([port, early]), ended }
}
