import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { startPostgres } from '@tidemark-internal/embedded-postgres'
import { Client } from 'pg'
import { expect, test, vi } from 'vitest'
import { programPath } from './program.ts'

const query = async (url: string, sql: string) => {
  const client = new Client(url)
  await client.connect()
  const { rows } = await client.query(sql)
  await client.end()
  return rows
}

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('keeps data, port and settings over a stop and a start, and leaves nothing after dispose', async () => {
  const server = await startPostgres({ settings: { work_mem: '5MB' } })
  await query(server.url, 'create table kept (a int)')
  const firstPid = server.postmasterPid
  await server.stop('immediate')
  expect(() => server.postmasterPid).toThrow('stopped')
  await server.start({ synchronous_commit: 'off' })
  expect(await query(server.url, 'select * from kept')).toEqual([])
  expect(await query(server.url, 'show work_mem')).toEqual([{ work_mem: '5MB' }])
  expect(await query(server.url, 'show synchronous_commit')).toEqual([{ synchronous_commit: 'off' }])
  const secondPid = server.postmasterPid
  await server.dispose()
  await server.dispose()
  expect([firstPid, secondPid].some(isRunning)).toBe(false)
  expect(existsSync(dirname(server.dataDir))).toBe(false)
})

test('says what the server said when it does not start, and leaves nothing', async () => {
  await expect(startPostgres({ settings: { max_connections: 'many' } })).rejects.toThrow('max_connections')
})

test('server and folder go when the process that started them is killed', async () => {
  const program = spawn(process.execPath, [programPath('hold-postgres')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface(program.stdout), 'line')) as [string]
  const { pid, dataDir } = JSON.parse(line) as { pid: number; dataDir: string }
  expect(isRunning(pid)).toBe(true)
  program.kill('SIGKILL')
  await vi.waitFor(
    () => {
      expect(isRunning(pid)).toBe(false)
      expect(existsSync(dirname(dataDir))).toBe(false)
    },
    { timeout: 20_000 },
  )
})
