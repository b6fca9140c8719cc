import { type KeyedGroup, type KeyOf, keyedGroups, partedByKey } from '../failures/keys.ts'
import { parkedLetter } from '../failures/letter.ts'
import { DeadLetterNotWrittenError } from '../kernel/errors.ts'
import type { CheckpointStore, CrossedRun } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { Unit } from '../ports/unit.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import { NODE } from './burial.ts'

export interface ParkingParts<P, E, Tx> {
  readonly projection: { readonly name: string; readonly unit: Unit; readonly keyOf: KeyOf<E> | undefined }
  readonly source: Pick<EventSource<P, E>, 'name' | 'order'>
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
}

/** The events of a batch that are handed out, and what buries others once they are handled. */
export interface Parked<E> {
  readonly handed: readonly E[]
  readonly bury: () => Promise<void>
}

/** What becomes of the events of one batch whose key is parked. */
export interface Parking<E, Tx> {
  /** In the transaction of the batch. */
  part(tx: Tx): Promise<Parked<E>>
  /** What is passed without being handled, once it is buried. */
  readonly passed: readonly CrossedRun[]
}

/** `undefined` where the projection has no keys. Throws what its `keyOf` throws. */
export function parkingOf<P, E, Tx>(
  { projection, source, checkpoints: { deadLetters } }: ParkingParts<P, E, Tx>,
  page: ReadPage<P, E>,
): Parking<E, Tx> | undefined {
  const { name, unit, keyOf } = projection
  if (keyOf === undefined || deadLetters === undefined) return undefined
  const { compare, format } = source.order
  const groups = keyedGroups(page, keyOf, (a, b) => compare(a, b) === 0)
  const keys = [...new Set(groups.map(({ key }) => key))]
  const passed: CrossedRun[] = []
  return {
    passed,
    part: async (tx) => {
      // Under the lock of the row: another owner may have parked a key since.
      const found = await deadLetters.parkedKeys(tx, unit, keys)
      const { handed, parked } = partedByKey(groups, (key) => found.keys.has(key))
      const bury = async (): Promise<void> => {
        if (parked.length === 0) return
        const letters = parked.map((group) =>
          parkedLetter(batchOf(group, format), group.key, source.name, NODE),
        )
        await found.park(letters).catch((error: unknown) => {
          throw new DeadLetterNotWrittenError(name, error)
        })
        passed.push(passedRun(letters))
      }
      return { handed, bury }
    },
  }
}

function batchOf<P, E>({ position, events, types }: KeyedGroup<P, E>, format: (position: P) => string) {
  const at = format(position)
  return { firstPosition: at, lastPosition: at, events: events.length, eventTypes: types }
}

function passedRun(
  letters: readonly { firstPosition: string; lastPosition: string; events: number }[],
): CrossedRun {
  const count = letters.reduce((sum, { events }) => sum + BigInt(events), 0n)
  const [first, last] = [letters[0]?.firstPosition ?? '', letters.at(-1)?.lastPosition ?? '']
  return { reason: 'apply_error', stored: first, current: last, count }
}
