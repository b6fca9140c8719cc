import { readFileSync } from 'node:fs'
import { compileFunction } from 'node:vm'
import ts from 'typescript'
import * as position from '../../../packages/core/src/ports/position.ts'
import { type Proof, realProof } from './proof.ts'

const FILES = {
  settlement: new URL('../../../packages/core/src/high-water/settlement.ts', import.meta.url),
  resume: new URL('../../../packages/core/src/high-water/resume.ts', import.meta.url),
  incarnation: new URL('../../../packages/pg-adapter/src/server/incarnation.ts', import.meta.url),
}
/** What these files import when they run. */
const IMPORTS: Readonly<Record<string, unknown>> = { '../ports/position.ts': position }

export interface SourceChange {
  readonly file: keyof typeof FILES
  readonly replace: string
  readonly by: string
}

/** The real functions, with some of their source changed. */
export function mutatedProof(changes: readonly SourceChange[]): Proof {
  const sources = new Map<SourceChange['file'], string>()
  for (const change of changes) {
    sources.set(
      change.file,
      apply(change, sources.get(change.file) ?? readFileSync(FILES[change.file], 'utf8')),
    )
  }
  return Object.assign({}, realProof, ...[...sources.values()].map(evaluate))
}

function apply({ file, replace, by }: SourceChange, source: string): string {
  const found = source.split(replace).length - 1
  if (found === 1) return source.replace(replace, () => by)
  throw new Error(`a mutant replaces what is found ${found} times, not once, in ${file}.ts: ${replace}`)
}

function evaluate(source: string): Partial<Proof> {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
  })
  const exports: Partial<Proof> = {}
  compileFunction(outputText, ['exports', 'require'])(exports, (name: string) => IMPORTS[name])
  return exports
}
