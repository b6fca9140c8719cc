import { mutatedSource } from '../mutated-source.ts'
import type { Machine } from './history.ts'
import type { MachineMutant } from './mutants.ts'

/** The real machine, with one place of its source changed. */
export function mutatedMachine({ file, replace, by }: MachineMutant): Machine {
  const room = file === 'narrow' ? 'failures' : 'projection'
  const load = mutatedSource([{ file: `core/src/${room}/${file}.ts`, replace, by }])
  return load('core/src/projection/machine.ts') as Machine
}
