import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createDaemon } from '@tidemark/core'
import { inMemoryCheckpoints, inMemoryEvents } from '@tidemark/core/testing'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type TestDatabase, testDatabase } from './database.ts'
import { snippetsOf, typeErrors } from './snippets.ts'

const [watching = '', program = ''] = snippetsOf('README.md')
// Beside the tests, where the packages are found by their names.
const compiled = fileURLToPath(new URL('../readme-program.mjs', import.meta.url))

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
  writeFileSync(
    compiled,
    ts.transpile(program, { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }),
  )
})
afterAll(async () => {
  rmSync(compiled, { force: true })
  await db.drop()
})

test("the README's program that shows what a consumer has lost is typed", () => {
  expect(watching).toContain('createWatch(')
  expect(typeErrors([watching])).toEqual([])
}, 60_000)

test("the README's program has at most 30 lines and is typed", () => {
  expect(program.trimEnd().split('\n').length).toBeLessThanOrEqual(30)
  expect(typeErrors([program])).toEqual([])
}, 60_000)

test("the README's program prints what it projected, projects on, and ends by itself on SIGTERM", async () => {
  const child = spawn(process.execPath, [compiled], {
    env: { ...process.env, DATABASE_URL: db.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  let printed = ''
  child.stdout.on('data', (chunk) => {
    printed += String(chunk)
  })
  await vi.waitFor(() => expect(printed).toBe("[ { account: 'alice', amount: 10 } ]\n"), patient)
  await db.pool.query(`insert into events (type, data) values ('Opened', '{}')`)
  await db.pool.query(
    `insert into events (type, data) select 'Deposited', '{"account": "alice", "amount": 10}' from generate_series(1, 5)`,
  )
  await vi.waitFor(async () => {
    const { rows } = await db.pool.query('select account, amount from balances')
    expect(rows).toEqual([{ account: 'alice', amount: 60 }])
  }, patient)
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
})

test("the README's projection runs without a database, on @tidemark/core/testing", async () => {
  // The very text of the README, in the place of which only the client that it writes through is another.
  const upsert = /const upsert = '(.*)'/.exec(program)?.[1]
  const projection = /projections: \[\n(.*?),\n {2}\],\n/s.exec(program)?.[1] ?? ''
  const mapRow = /mapRow: (\(row\) => .*?) \}\)/.exec(program)?.[1] ?? ''
  const evaluate = (code: string) =>
    new Function('upsert', ts.transpile(`return ${code}`, { target: ts.ScriptTarget.ES2022 }))(upsert)

  const tx = { query: vi.fn<(sql: string, values: readonly unknown[]) => Promise<void>>() }
  const source = inMemoryEvents({ mapRow: evaluate(mapRow) })
  const daemon = createDaemon({
    source,
    checkpoints: inMemoryCheckpoints({ tx }),
    projections: [evaluate(projection)],
  })
  await daemon.start()
  source.append('Opened', {})
  source.append('Deposited', { account: 'alice', amount: 10 })
  await daemon.waitUntilProjected()
  await daemon.stop()
  expect(tx.query.mock.calls).toEqual([[upsert, ['alice', 10]]])
})

const patient = { timeout: 30_000, interval: 50 }
