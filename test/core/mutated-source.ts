import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import ts from 'typescript'

export interface SourceChange {
  /** Below `packages`. */
  readonly file: string
  readonly replace: string
  readonly by: string
}

const PACKAGES = new URL('../../packages/', import.meta.url)
const require = createRequire(import.meta.url)

/** Loads the real modules below `packages`, and what they import of each other, with some of their source changed. */
export function mutatedSource(changes: readonly SourceChange[]): (file: string) => unknown {
  const sources = new Map<string, string>()
  for (const change of changes) {
    const { href } = new URL(change.file, PACKAGES)
    sources.set(href, apply(change, sources.get(href) ?? readFileSync(new URL(href), 'utf8')))
  }
  const loaded = new Map<string, unknown>()
  const load = (href: string): unknown => {
    const found = loaded.get(href)
    if (found) return found
    const source = sources.get(href) ?? readFileSync(new URL(href), 'utf8')
    const exports = evaluate(source, (name) =>
      name.startsWith('.') ? load(new URL(name, href).href) : require(name),
    )
    loaded.set(href, exports)
    return exports
  }
  return (file) => load(new URL(file, PACKAGES).href)
}

function apply({ file, replace, by }: SourceChange, source: string): string {
  const found = source.split(replace).length - 1
  if (found === 1) return source.replace(replace, () => by)
  throw new Error(`a mutant replaces what is found ${found} times, not once, in ${file}: ${replace}`)
}

function evaluate(source: string, load: (name: string) => unknown): unknown {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
  })
  const exports = {}
  compileFunction(outputText, ['exports', 'require'])(exports, load)
  return exports
}
