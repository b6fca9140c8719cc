import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const page = readFileSync(file('../../docs/writing-an-adapter.md'), 'utf8')
const programs = [...page.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)].map(([, name = '', code = '']) => ({
  name,
  code,
}))
// Where the packages are found by their names, and no project looks for tests.
const folder = file('../documented-adapter')

beforeAll(() => {
  mkdirSync(folder, { recursive: true })
  for (const { name, code } of programs) {
    writeFileSync(`${folder}/${name}`, code)
    const compiled = ts.transpile(code, {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
      rewriteRelativeImportExtensions: true,
    })
    writeFileSync(`${folder}/${name.replace(/\.ts$/, '.js')}`, compiled)
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the documented adapter is typed', () => {
  expect(programs.map(({ name }) => name)).toEqual([
    'file-events.ts',
    'key-checkpoints.ts',
    'adapter.test.ts',
  ])
  const { config } = ts.readConfigFile(file('../tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, file('..'))
  const diagnostics = ts.getPreEmitDiagnostics(
    ts.createProgram(
      programs.map(({ name }) => `${folder}/${name}`),
      options,
    ),
  )
  expect(diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
})

test("the documented adapter passes the suite in Node's own test runner, which says what was left out", async () => {
  const child = spawn(process.execPath, ['--test', '--test-reporter=tap', `${folder}/adapter.test.js`], {
    // A runner that is started by a test run of its own would report to that.
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [output, [exitCode]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  expect(output).not.toMatch(/^\s*not ok/m)
  expect(exitCode).toBe(0)
  expect(output).toMatch(/^\s*ok \d+ - page by page every event comes once/m)
  expect(output).toMatch(/^\s*ok \d+ - the mark stops before the gap .* # SKIP needs open_transactions/m)
})
