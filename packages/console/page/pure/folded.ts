import type { Problem } from '../../src/protocol.ts'

/** Problems of one kind about one thing: of its shards, mostly. */
export interface FoldedProblem {
  readonly first: Problem
  readonly others: readonly Problem[]
}

/** In the order of the first of each. Pure. */
export function folded(problems: readonly Problem[]): readonly FoldedProblem[] {
  const found = new Map<string, FoldedProblem>()
  for (const problem of problems) {
    const { code, about } = problem
    const key = JSON.stringify([code, about.source, about.projection, about.version])
    const known = found.get(key)
    found.set(
      key,
      known === undefined
        ? { first: problem, others: [] }
        : { first: known.first, others: [...known.others, problem] },
    )
  }
  return [...found.values()]
}
