import { hasCode, messageOf } from '../kernel/errors.ts'
import { BEYOND_HEAD } from './status.ts'

/** As the label `reason` of `subscription_drops`. */
export function reasonOf(error: unknown, source: { dropReason(error: unknown): string }): string {
  if (hasCode(error, 'TIDEMARK_CHECKPOINT_BEYOND_HEAD')) return BEYOND_HEAD
  return source.dropReason(error)
}

/** `await using`, `addAbortSignal` and every API that takes a signal end with it: by the consumer's own wish. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** For the log. */
export function describeDrop(projection: string, reason: string, error: unknown): string {
  const why = error === undefined ? 'without an error, though nobody unsubscribed' : messageOf(error)
  return `tidemark: the subscription of projection "${projection}" ended (${reason}): ${why}`
}
