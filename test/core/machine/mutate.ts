import { readFileSync } from 'node:fs'
import { compileFunction } from 'node:vm'
import ts from 'typescript'
import * as classify from '../../../packages/core/src/failures/classify.ts'
import * as narrow from '../../../packages/core/src/failures/narrow.ts'
import * as policy from '../../../packages/core/src/failures/policy.ts'
import * as whatToDo from '../../../packages/core/src/failures/what-to-do.ts'
import * as position from '../../../packages/core/src/ports/position.ts'
import type { Machine } from './history.ts'
import type { MachineMutant } from './mutants.ts'

const OTHERS: Readonly<Record<string, unknown>> = {
  '../ports/position.ts': position,
  '../failures/classify.ts': classify,
  '../failures/narrow.ts': narrow,
  '../failures/policy.ts': policy,
  '../failures/what-to-do.ts': whatToDo,
}

/** The real machine, with one place of its source changed. */
export function mutatedMachine({ file, replace, by }: MachineMutant): Machine {
  const loaded = new Map<string, unknown>()
  const load = (name: string): unknown => {
    const found = OTHERS[name] ?? loaded.get(name)
    if (found) return found
    const url = new URL(`../../../packages/core/src/projection/${name}`, import.meta.url)
    const source = readFileSync(url, 'utf8')
    const exports = evaluate(name === `./${file}.ts` ? changed(source, name) : source, load)
    loaded.set(name, exports)
    return exports
  }
  const changed = (source: string, name: string): string => {
    const times = source.split(replace).length - 1
    if (times === 1) return source.replace(replace, () => by)
    throw new Error(`a mutant replaces what is found ${times} times, not once, in ${name}: ${replace}`)
  }
  return load('./machine.ts') as Machine
}

function evaluate(source: string, load: (name: string) => unknown): unknown {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
  })
  const exports = {}
  compileFunction(outputText, ['exports', 'require'])(exports, load)
  return exports
}
