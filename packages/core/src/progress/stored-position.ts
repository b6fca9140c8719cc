import { WaitFailedError } from '../kernel/errors.ts'
import type { Role, VersionProgress } from '../ports/stored-unit.ts'
import { unitName, wholeUnit } from '../ports/unit.ts'
import type { ResolvedProgressReaderOptions } from './options.ts'

/** A projection, and the version of it that is meant; `undefined`: the live one. */
export interface WhichProjection {
  readonly projection: string
  readonly version: number | undefined
}

/** What is stored of a projection; `undefined` where it has no checkpoint. */
export interface StoredPosition<P> {
  /** `undefined`: nothing processed yet. */
  readonly position: P | undefined
  readonly role: Role
}

/** Rejects where the checkpoint is one of another source: positions of the two say nothing of each other. */
export async function readPosition<P>(
  { checkpoints, source }: Pick<ResolvedProgressReaderOptions<P>, 'checkpoints' | 'source'>,
  which: WhichProjection,
  signal: AbortSignal,
): Promise<StoredPosition<P> | undefined> {
  const stored = await storedUnit(checkpoints, which, signal)
  if (stored === undefined) return undefined
  if (stored.source !== source.name) {
    throw new WaitFailedError(
      `projection "${unitName(stored.unit)}" has a checkpoint of the source "${stored.source}", and this reader is of "${source.name}": ` +
        'give it the source of the daemon, or the name of another projection',
    )
  }
  const { position, role } = stored
  return { position: position === undefined ? undefined : source.order.parse(position), role }
}

/** A store without `control` has one version of each, and that is live. */
async function storedUnit(
  checkpoints: ResolvedProgressReaderOptions<unknown>['checkpoints'],
  { projection, version }: WhichProjection,
  signal: AbortSignal,
): Promise<VersionProgress | undefined> {
  if (checkpoints.progressOf !== undefined) return await checkpoints.progressOf(projection, version, signal)
  if (checkpoints.control === undefined) {
    const stored = await checkpoints.read(wholeUnit(projection, version), signal)
    return stored && { ...stored, role: 'live' }
  }
  const units = await checkpoints.control.units({ projection }, signal)
  return units.find(({ unit, role }) => (version === undefined ? role === 'live' : unit.version === version))
}
