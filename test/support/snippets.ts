import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The TypeScript in a page of the documentation. */
export function snippetsOf(page: string): readonly string[] {
  const text = readFileSync(file(`../../${page}`), 'utf8')
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => code)
}

/**
 * What the compiler says of each snippet, a module of its own, with the tests' options. `ambient` is a module that declares
 * globally what a reader is to imagine.
 */
export function typeErrors(snippets: readonly string[], ambient = 'export {}'): readonly string[] {
  // Beside the tests, where the packages are found by their names.
  const name = (part: string | number): string => file(`../snippet-${process.pid}-${part}.ts`)
  const sources = new Map(snippets.map((code, n) => [name(n), `${code}\nexport {}\n`]))
  sources.set(name('ambient'), ambient)
  const { config } = ts.readConfigFile(file('../tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(
    { ...config, files: [...sources.keys()], include: [] },
    ts.sys,
    file('..'),
  )
  try {
    for (const [path, code] of sources) writeFileSync(path, code)
    const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options))
    return diagnostics.map(({ messageText, file: at, start }) => {
      const line = at && start !== undefined ? at.text.slice(start).split('\n')[0] : ''
      return `${ts.flattenDiagnosticMessageText(messageText, '\n')} at: ${line}`
    })
  } finally {
    for (const path of sources.keys()) rmSync(path, { force: true })
  }
}
