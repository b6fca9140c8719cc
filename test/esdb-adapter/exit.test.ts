import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { programPath } from '../support/program.ts'
import { clientName } from './client.ts'
import { numbered, useServer } from './rig.ts'
import { steered } from './server-in-use.ts'

const esdb = useServer()

test.each([
  ['a process whose daemon has stopped', 'memory'],
  ['and one with checkpoints in the store, that has also disposed of its client,', 'store'],
])('%s ends by itself', async (_, checkpointsIn) => {
  const daemon = await spawnDaemon(checkpointsIn)
  await esdb.server.write(esdb.own('orders'), numbered(0, 9))
  await daemon.says('handled')
  expect(await daemon.terminate()).toBe(0)
})

// The native addon lets go of a read when its connection is given up, after some 20 s without an answer to its pings.
steered('they do so even where the server hangs', async () => {
  const daemon = await spawnDaemon('store')
  await esdb.server.write(esdb.own('orders'), numbered(0, 9))
  await daemon.says('handled')
  esdb.server.freeze()
  try {
    expect(await daemon.terminate()).toBe(0)
  } finally {
    esdb.server.thaw()
  }
})

async function spawnDaemon(checkpointsIn: string) {
  const args = [
    programPath('esdb-daemon'),
    esdb.server.connectionString,
    clientName,
    checkpointsIn,
    esdb.own('numbers'),
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const said: string[] = []
  createInterface(child.stdout).on('line', (line) => said.push(line))
  const says = (word: string): Promise<void> =>
    expect.poll(() => said, { timeout: 40_000, interval: 20 }).toContain(word)
  await says('started')
  return {
    says,
    terminate: async (): Promise<unknown> => {
      child.kill('SIGTERM')
      const [status] = await exited
      return status
    },
  }
}
