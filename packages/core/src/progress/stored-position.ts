import { WaitFailedError } from '../kernel/errors.ts'
import { earlierOf } from '../ports/position.ts'
import type { Role, VersionProgress } from '../ports/stored-unit.ts'
import { versionName, wholeUnit } from '../ports/unit.ts'
import type { ResolvedProgressReaderOptions } from './options.ts'

/** A projection, and the version of it that is meant; `undefined`: the live one. */
export interface WhichProjection {
  readonly projection: string
  readonly version: number | undefined
}

/** What is stored of a projection; `undefined` where it has no checkpoint. */
export interface StoredPosition<P> {
  /** Of several shards the least; `undefined`: nothing processed yet, or not by each. */
  readonly position: P | undefined
  readonly role: Role
}

/** Rejects where the checkpoint is one of another source: positions of the two say nothing of each other. */
export async function readPosition<P>(
  { checkpoints, source }: Pick<ResolvedProgressReaderOptions<P>, 'checkpoints' | 'source'>,
  which: WhichProjection,
  signal: AbortSignal,
): Promise<StoredPosition<P> | undefined> {
  const shards = await storedUnits(checkpoints, which, signal)
  const [first] = shards
  if (first === undefined) return undefined
  const ofAnother = shards.find((shard) => shard.source !== source.name)
  if (ofAnother !== undefined) {
    throw new WaitFailedError(
      `projection "${versionName(ofAnother.unit)}" has a checkpoint of the source "${ofAnother.source}", and this reader is of "${source.name}": ` +
        'give it the source of the daemon, or the name of another projection',
    )
  }
  const { order } = source
  const position = shards
    .map((shard) => (shard.position === undefined ? undefined : order.parse(shard.position)))
    .reduce((least, next) => earlierOf(order, least, next))
  return { position, role: first.role }
}

/** A store without `control` has one version of each, and that is live, in one shard. */
async function storedUnits(
  checkpoints: ResolvedProgressReaderOptions<unknown>['checkpoints'],
  { projection, version }: WhichProjection,
  signal: AbortSignal,
): Promise<readonly VersionProgress[]> {
  if (checkpoints.progressOf !== undefined) return await checkpoints.progressOf(projection, version, signal)
  if (checkpoints.control === undefined) {
    const stored = await checkpoints.read(wholeUnit(projection, version), signal)
    return stored === undefined ? [] : [{ ...stored, role: 'live' }]
  }
  const units = await checkpoints.control.units({ projection }, signal)
  return units.filter(({ unit, role }) =>
    version === undefined ? role === 'live' : unit.version === version,
  )
}
