import { hostname } from 'node:os'
import { pid } from 'node:process'
import { stagedError } from '../failures/classify.ts'
import { type Burial, letterOf } from '../failures/letter.ts'
import { DeadLetterNotWrittenError } from '../kernel/errors.ts'
import type { AdvanceWork, CheckpointStore, CrossedRun, LockedUnit } from '../ports/checkpoint-store.ts'
import type { PositionOrder } from '../ports/position.ts'
import { isToTakeEffect } from '../rebuild/effects.ts'
import type { ResolvedProjection } from './projection.ts'

export interface BurialParts<P, Tx> {
  readonly projection: Pick<ResolvedProjection<never, Tx>, 'name' | 'series' | 'unit' | 'effects'>
  readonly source: { readonly name: string; readonly order: PositionOrder<P> }
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
}

/** Names this process. */
export const NODE: string = `${hostname()}/${pid}`

/** Writes a dead letter in the transaction that passes its events: `move` moves the checkpoint, and counts them. */
export async function buryEvents<P, Tx, Moved>(
  parts: BurialParts<P, Tx>,
  burial: Burial,
  move: (passed: readonly CrossedRun[], work: AdvanceWork<Tx>) => Promise<Moved>,
): Promise<Moved> {
  const passed = [passedRun(burial)]
  try {
    return await move(passed, async (tx, locked) => {
      if (!(await writeLetter(parts, burial, tx, locked))) passed.length = 0
    })
  } catch (error) {
    throw stagedError('commit', error, burial.batch)
  }
}

/** Whether it was: events whose effects are not to come about now are passed without one. */
export async function writeLetter<P, Tx>(
  { projection: { name, unit, effects }, source, checkpoints: { deadLetters } }: BurialParts<P, Tx>,
  burial: Burial,
  tx: Tx,
  locked: LockedUnit | undefined,
): Promise<boolean> {
  if (deadLetters === undefined)
    throw new TypeError('a projection that may skip has a store with dead letters')
  const { order } = source
  const last = order.parse(burial.batch.lastPosition)
  if (effects === 'live_only' && locked !== undefined && !isToTakeEffect(order, locked, last)) return false
  try {
    await deadLetters.bury(tx, unit, letterOf(burial, source.name, NODE))
  } catch (error) {
    throw new DeadLetterNotWrittenError(name, error)
  }
  return true
}

/** What is passed by it. */
export function passedRun({ batch }: Burial): CrossedRun {
  const { firstPosition: stored, lastPosition: current, events } = batch
  return { reason: 'apply_error', stored, current, count: BigInt(events) }
}
