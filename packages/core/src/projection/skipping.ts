import type { Burial } from '../failures/letter.ts'
import { formatEvidence } from '../high-water/poll-calls.ts'
import type { ControlledUnit, Fulfilment } from '../ports/control.ts'
import type { EventSource } from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import { addCrossed } from '../ports/skip-totals.ts'
import type { Checkpoint } from '../ports/stored-unit.ts'
import { type BurialParts, passedRun, writeLetter } from './burial.ts'
import type { SkipOrder } from './commands.ts'
import { reportSkips, type SkipReporting } from './skip-reports.ts'

interface SkippingParts<P, E, Tx> extends BurialParts<P, Tx> {
  readonly source: EventSource<P, E>
}

interface Asked<P, Tx> {
  readonly tx: Tx
  /** Locked. */
  readonly found: ControlledUnit
  readonly skip: SkipOrder<P> | undefined
}

/** Passes the events at which a projection fails, as an operator wants it. `undefined`: it does not stand there any more. */
export async function skipEvents<P, E, Tx>(
  parts: SkippingParts<P, E, Tx>,
  { tx, found, skip }: Asked<P, Tx>,
): Promise<Fulfilment | undefined> {
  if (skip === undefined || 'refused' in skip) return skip
  const { from, to, evidence, burial } = skip
  const { order, passesUnproven } = parts.source
  const { position, desired } = found
  if (position !== (from === undefined ? undefined : order.format(from))) {
    const isPassed = position !== undefined && isReached(order, to, order.parse(position))
    return isPassed ? { refused: `it has passed, its checkpoint is ${position}` } : undefined
  }
  if (desired !== 'running') return { refused: 'an operator has paused it meanwhile' }
  const isWritten = await writeLetter(parts, burial, tx, found)
  const { firstPosition, lastPosition } = burial.batch
  return {
    to: {
      ...found,
      position: order.format(to),
      skipped: isWritten ? addCrossed(found.skipped, [passedRun(burial)]) : found.skipped,
    },
    evidence: formatEvidence(order.format, evidence),
    ...(passesUnproven === true && isWritten ? { positions: [firstPosition, lastPosition] } : {}),
  }
}

/** What was skipped, which is told; `undefined` where the request was another one. */
export function tellSkip<P, E, Tx>(
  parts: SkippingParts<P, E, Tx> & SkipReporting<P, E>,
  skip: SkipOrder<P> | undefined,
  { position, skipped }: Checkpoint,
): Burial | undefined {
  if (skip === undefined || 'refused' in skip) return undefined
  const crossed = [passedRun(skip.burial)]
  reportSkips(parts, parts.projection, { position, skipped, crossed }, undefined)
  return skip.burial
}
