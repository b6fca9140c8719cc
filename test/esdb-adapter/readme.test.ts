import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { clientName } from './client.ts'
import { useServer } from './rig.ts'
import { steered } from './server-in-use.ts'

const esdb = useServer()
const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const readme = readFileSync(file('../../packages/esdb-adapter/README.md'), 'utf8')
const [, asItStands = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? []
const program =
  clientName === 'eventstore'
    ? asItStands
    : asItStands
        .replaceAll('EventStoreDBClient', 'KurrentDBClient')
        .replace("'@eventstore/db-client'", "'@kurrent/kurrentdb-client'")
// Beside the tests, where the packages are found by their names.
const source = file(`../esdb-readme-${clientName}.ts`)
const compiled = file(`../esdb-readme-${clientName}.mjs`)

beforeAll(() => {
  writeFileSync(source, program)
  const { ESNext: module } = ts.ModuleKind
  writeFileSync(compiled, ts.transpile(program, { module, target: ts.ScriptTarget.ES2022 }))
})
afterAll(() => {
  rmSync(source, { force: true })
  rmSync(compiled, { force: true })
})

test("the README's program is typed", () => {
  const { config } = ts.readConfigFile(file('../tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(
    { ...config, files: [source], include: [] },
    ts.sys,
    file('..'),
  )
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([source], options))
  expect(diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
})

// It projects all of $all.
steered("the README's program projects, and ends by itself on SIGTERM", async () => {
  await esdb.server.write('orders', [{ type: 'Placed' }, { type: 'Paid' }])
  const child = spawn(process.execPath, [compiled], {
    env: { ...process.env, ESDB_CONNECTION_STRING: esdb.server.connectionString },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const said: string[] = []
  createInterface(child.stdout).on('line', (line) => said.push(line))
  await expect.poll(() => said, { timeout: 40_000 }).toContain("[ 'Placed', 'Paid' ]")
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})
