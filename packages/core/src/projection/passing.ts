import type { FailureStage } from '../failures/classify.ts'
import { hasCode } from '../kernel/errors.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'

interface Stores {
  readonly source: Pick<EventSource<never, never>, 'isTransient'>
  readonly checkpoints: Pick<CheckpointStore<never>, 'isTransient'>
}

/** Whether it is a fault of a store, which passes. A handler has nothing of the source in its hands. */
export function isTransientAt({ source, checkpoints }: Stores, stage: FailureStage, error: unknown): boolean {
  if (stage === 'handle') return isTransient(checkpoints, error, 'handler')
  return isTransient(source, error) || isTransient(checkpoints, error)
}

/** As live batches are judged. */
export function isPassing(stores: Stores, stage: FailureStage, error: unknown): boolean {
  return hasCode(error, 'TIDEMARK_INCARNATION_CHANGED') || isTransientAt(stores, stage, error)
}

/** What cannot even be looked at is no fault of the store: a handler may throw anything, also what throws when it is read. */
export function isTransient(
  store: Pick<CheckpointStore<never>, 'isTransient'>,
  error: unknown,
  thrownBy?: 'handler',
): boolean {
  try {
    return store.isTransient(error, thrownBy)
  } catch {
    return false
  }
}
