import { mutatedSource } from '../mutated-source.ts'
import { type Proof, realProof } from './proof.ts'

const FILES = {
  settlement: 'core/src/high-water/settlement.ts',
  resume: 'core/src/high-water/resume.ts',
  'lifecycle-poll': 'core/src/high-water/lifecycle-poll.ts',
  lifecycle: 'core/src/high-water/lifecycle.ts',
  incarnation: 'pg-adapter/src/server/incarnation.ts',
}

export interface SourceChange {
  readonly file: keyof typeof FILES
  readonly replace: string
  readonly by: string
}

/** The real functions, with some of their source changed. */
export function mutatedProof(changes: readonly SourceChange[]): Proof {
  if (changes.length === 0) return realProof
  const load = mutatedSource(changes.map((change) => ({ ...change, file: FILES[change.file] })))
  return Object.assign({}, realProof, ...Object.values(FILES).map(load))
}
