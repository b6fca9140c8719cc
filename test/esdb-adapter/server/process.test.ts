import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { describeSteered } from '../server-in-use.ts'
import { until } from './rig.ts'

const server = new URL('../../support/esdb-server/dist/server.js', import.meta.url)

/** A process that starts a server, says which process that is, and then does `rest`. */
async function starter(rest: string) {
  const code = `
    import { startEsdbServer } from '${server.href}'
    const server = await startEsdbServer()
    console.log(server.pid)
    ${rest}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [line] = await once(child.stdout, 'data')
  return { child, exited, pid: Number(line) }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describeSteered("the server's process", () => {
  test('ends with the process that started it, killed or not', async () => {
    const { child, exited, pid } = await starter('setInterval(() => {}, 1000)')
    expect(isRunning(pid)).toBe(true)
    child.kill('SIGKILL')
    await exited
    await until(() => !isRunning(pid))
  })

  test('keeps nobody alive', async () => {
    const { exited, pid } = await starter('')
    expect(await exited).toEqual([0, null])
    await until(() => !isRunning(pid))
  })

  test('keeps alive who waits for its end', async () => {
    const { exited } = await starter('await server.stop()')
    expect(await exited).toEqual([0, null])
  })

  test('ends with one that leaves it frozen', async () => {
    const { exited, pid } = await starter('server.freeze()')
    await exited
    await until(() => !isRunning(pid))
  })
})
