import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type TestDatabase, testDatabase } from './database.ts'
import { snippetsOf, typeErrors } from './snippets.ts'

const [program = ''] = snippetsOf('README.md')
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

test("the README's program has at most 30 lines and is typed", () => {
  expect(program.trimEnd().split('\n').length).toBeLessThanOrEqual(30)
  expect(typeErrors([program])).toEqual([])
}, 60_000)

test("the README's program projects, and ends by itself on SIGTERM", async () => {
  const child = spawn(process.execPath, [compiled], {
    env: { ...process.env, DATABASE_URL: db.url },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const exit = once(child, 'exit')
  await vi.waitFor(() => db.pool.query(`insert into events (type, data) values ('Opened', '{}')`), patient)
  await db.pool.query(
    `insert into events (type, data) select 'Deposited', '{"account": "alice", "amount": 10}' from generate_series(1, 5)`,
  )
  await vi.waitFor(async () => {
    const { rows } = await db.pool.query('select account, amount::int from balances')
    expect(rows).toEqual([{ account: 'alice', amount: 50 }])
  }, patient)
  child.kill('SIGTERM')
  expect(await exit).toEqual([0, null])
})

const patient = { timeout: 30_000, interval: 50 }
