import { type HighWaterRequest, ProgressNeededError, type StoredProgress } from '@tidemark/core/adapter'
import { parseIncarnation } from '../server/incarnation.ts'

/** Where it is missing, the caller reads it, and polls again. */
export function neededProgress(
  stored: HighWaterRequest<bigint>['stored'],
): readonly StoredProgress<bigint>[] {
  if (stored === undefined) throw new ProgressNeededError()
  return stored
}

/** Stale-threshold mode moves checkpoints past transactions that are still open: those settle nothing. */
export function isProven({ incarnation }: StoredProgress<bigint>): boolean {
  return incarnation !== undefined && parseIncarnation(incarnation) !== undefined
}
