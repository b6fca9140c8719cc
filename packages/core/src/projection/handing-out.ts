import { stagedError } from '../failures/classify.ts'
import type { CheckpointStore, CrossedRun, LockedUnit } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { Effects } from '../ports/stored-unit.ts'
import type { Unit } from '../ports/unit.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import { isToTakeEffect } from '../rebuild/effects.ts'
import { failedBatch } from './failed-batch.ts'
import { type Parked, type ParkingParts, parkingOf } from './parking.ts'

interface HandingOutParts<P, E, Tx> extends ParkingParts<P, E, Tx> {
  readonly projection: ParkingParts<P, E, Tx>['projection'] & {
    readonly unit: Unit
    readonly effects: Effects
  }
  readonly source: Pick<EventSource<P, E>, 'name' | 'order'>
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
}

/** Which events of one batch are handed out, and what becomes of the others. */
export interface HandingOut<E, Tx> {
  /** In the transaction of the batch, with its row locked. */
  part(tx: Tx, locked: LockedUnit | undefined): Promise<Parked<E>>
  /** What is passed without being handled, once it is buried. */
  readonly passed: readonly CrossedRun[]
  /**
   * The positions of what is handed out or buried, once `part` has resolved; before that, of the whole batch. `undefined`: those
   * of the whole batch.
   */
  readonly positions?: readonly string[]
}

/** `undefined` where every event is handed out. What the projection's `keyOf` throws is a failure of the handler. */
export function handingOut<P, E, Tx>(
  parts: HandingOutParts<P, E, Tx>,
  page: ReadPage<P, E>,
): HandingOut<E, Tx> | undefined {
  const { projection, source } = parts
  if (projection.effects === 'always') return parkingIn(parts, page)
  const positions = page.positions.map(source.order.format)
  const passed: CrossedRun[] = []
  return {
    passed,
    positions,
    part: async (tx, locked) => {
      const wanted = locked === undefined ? page : takingEffect(source.order, page, locked)
      positions.splice(0, positions.length, ...wanted.positions.map(source.order.format))
      const parking = parkingIn(parts, wanted)
      if (parking === undefined) return { handed: wanted.events, bury: async () => {} }
      const { handed, bury } = await parking.part(tx)
      return {
        handed,
        bury: async () => {
          await bury()
          passed.push(...parking.passed)
        },
      }
    },
  }
}

function parkingIn<P, E, Tx>(parts: HandingOutParts<P, E, Tx>, page: ReadPage<P, E>) {
  try {
    return parkingOf(parts, page)
  } catch (error) {
    throw stagedError('handle', error, failedBatch(parts.source, page))
  }
}

/** The events of a page whose effects are to come about now. */
function takingEffect<P, E>(
  order: EventSource<P, E>['order'],
  page: ReadPage<P, E>,
  locked: LockedUnit,
): ReadPage<P, E> {
  const isWanted = page.positions.map((position) => isToTakeEffect(order, locked, position))
  if (!isWanted.includes(false)) return page
  const wanted = (_: unknown, index: number): boolean => isWanted[index] === true
  return {
    ...page,
    events: page.events.filter(wanted),
    positions: page.positions.filter(wanted),
    types: page.types?.filter(wanted),
    appendTimesMs: page.appendTimesMs?.filter(wanted),
  }
}
