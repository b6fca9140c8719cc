import { hostname } from 'node:os'
import { pid } from 'node:process'
import { stagedError } from '../failures/classify.ts'
import { type Burial, letterOf } from '../failures/letter.ts'
import { DeadLetterNotWrittenError } from '../kernel/errors.ts'
import type { CheckpointStore, CrossedRun } from '../ports/checkpoint-store.ts'
import type { Unit } from '../ports/unit.ts'

export interface BurialParts<Tx> {
  readonly projection: { readonly name: string; readonly unit: Unit }
  readonly source: { readonly name: string }
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
}

/** Names this process. */
export const NODE: string = `${hostname()}/${pid}`

/** Writes a dead letter in the transaction that passes its events: `move` moves the checkpoint, and counts them. */
export async function buryEvents<Tx, Moved>(
  parts: BurialParts<Tx>,
  burial: Burial,
  move: (passed: readonly CrossedRun[], work: (tx: Tx) => Promise<void>) => Promise<Moved>,
): Promise<Moved> {
  try {
    return await move([passedRun(burial)], (tx) => writeLetter(parts, burial, tx))
  } catch (error) {
    throw stagedError('commit', error, burial.batch)
  }
}

export async function writeLetter<Tx>(
  { projection: { name, unit }, source, checkpoints: { deadLetters } }: BurialParts<Tx>,
  burial: Burial,
  tx: Tx,
): Promise<void> {
  if (deadLetters === undefined)
    throw new TypeError('a projection that may skip has a store with dead letters')
  try {
    await deadLetters.bury(tx, unit, letterOf(burial, source.name, NODE))
  } catch (error) {
    throw new DeadLetterNotWrittenError(name, error)
  }
}

/** What is passed by it. */
export function passedRun({ batch }: Burial): CrossedRun {
  const { firstPosition: stored, lastPosition: current, events } = batch
  return { reason: 'apply_error', stored, current, count: BigInt(events) }
}
