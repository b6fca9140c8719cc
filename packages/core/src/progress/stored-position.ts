import { WaitFailedError } from '../kernel/errors.ts'
import { wholeUnit } from '../ports/unit.ts'
import type { ResolvedProgressReaderOptions } from './options.ts'

/** What is stored of a projection; `undefined` where it has no checkpoint. */
export interface StoredPosition<P> {
  /** `undefined`: nothing processed yet. */
  readonly position: P | undefined
}

/** Rejects where the checkpoint is one of another source: positions of the two say nothing of each other. */
export async function readPosition<P>(
  { checkpoints, source }: Pick<ResolvedProgressReaderOptions<P>, 'checkpoints' | 'source'>,
  projection: string,
  signal: AbortSignal,
): Promise<StoredPosition<P> | undefined> {
  const stored = await checkpoints.read(wholeUnit(projection), signal)
  if (stored === undefined) return undefined
  if (stored.source !== source.name) {
    throw new WaitFailedError(
      `projection "${projection}" has a checkpoint of the source "${stored.source}", and this reader is of "${source.name}": ` +
        'give it the source of the daemon, or the name of another projection',
    )
  }
  const { position } = stored
  return { position: position === undefined ? undefined : source.order.parse(position) }
}
