import * as lease from '../../../packages/core/src/ownership/lease.ts'
import { InMemoryLeases } from '../../../packages/core/src/testing/in-memory-leases.ts'
import { mutatedSource, type SourceChange } from '../mutated-source.ts'

/** What is driven: one node's machine, and the store. */
export interface Subject {
  readonly next: typeof lease.next
  readonly InMemoryLeases: typeof InMemoryLeases
}

export const realSubject: Subject = { next: lease.next, InMemoryLeases }

const FILES = {
  assignment: 'core/src/ownership/assignment.ts',
  lease: 'core/src/ownership/lease.ts',
  view: 'core/src/ownership/cluster-view.ts',
  store: 'core/src/testing/in-memory-leases.ts',
} as const

export interface Change {
  readonly file: keyof typeof FILES
  readonly replace: string
  readonly by: string
}

/** The real code, with some of its source changed. */
export function mutatedSubject(changes: readonly Change[]): Subject {
  const load = mutatedSource(
    changes.map(({ file, ...change }): SourceChange => ({ ...change, file: FILES[file] })),
  )
  return {
    ...(load(FILES.lease) as Pick<Subject, 'next'>),
    ...(load(FILES.store) as Pick<Subject, 'InMemoryLeases'>),
  }
}
