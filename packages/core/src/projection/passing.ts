import { hasCode } from '../kernel/errors.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'

interface Stores {
  readonly source: Pick<EventSource<never, never>, 'isTransient'>
  readonly checkpoints: Pick<CheckpointStore<never>, 'isTransient'>
}

/** As live batches are judged: a fault of the store, which passes. */
export function isPassing({ source, checkpoints }: Stores, error: unknown): boolean {
  if (hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')) return true
  try {
    return source.isTransient(error) || checkpoints.isTransient(error)
  } catch {
    return false
  }
}
