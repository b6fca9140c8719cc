import type { FailedBatch } from '../failures/classify.ts'
import type { Decided } from '../failures/on-failure.ts'
import type { Evidence } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Command, Context, FailedWork, Step } from './commands.ts'
import { attempting, type GivenUp, type Standing } from './standing.ts'

interface Failed<P> extends Pick<FailedWork, 'stage' | 'error' | 'batch'> {
  readonly moving: Standing<P>['moving']
  readonly tries: number
}

/** `undefined` where nothing says which events have failed. */
export function givenUp<P>(
  { cursorIncarnation }: Standing<P>,
  { stage, error, batch, moving, tries }: Failed<P>,
  { order, reading }: Pick<Context<P>, 'order' | 'reading'>,
): GivenUp<P> | undefined {
  if (batch === undefined) return undefined
  const page = moving?.page
  if (stage === 'handle' && moving && page?.extent) {
    return { to: moving.to, evidence: page.evidence, burial: { stage, error, batch, tries } }
  }
  // It stands first: nothing is between the cursor and it.
  const at = stage === 'map' ? positionOf(order, batch) : undefined
  if (stage !== 'map' || at === undefined) return undefined
  const holds = reading?.incarnation === cursorIncarnation && isReached(order, at, reading?.mark)
  return { to: at, evidence: holds ? reading : undefined, burial: { stage, error, batch, tries } }
}

export function decided<P>(
  { evidence, burial }: GivenUp<P>,
  { decide }: Pick<Context<P>['policy'], 'decide'>,
  events: readonly unknown[],
): Decided {
  return evidence === undefined ? { decision: 'retry' } : decide({ ...burial, events })
}

/** Nothing was committed, so the checkpoint stands where it was. */
export function bury<P, E>(
  standing: Standing<P>,
  { to, burial }: GivenUp<P>,
  evidence: Evidence<P>,
  commands: readonly Command<P, E>[],
): Step<P, E> {
  const burying = { ...standing, isCheckpointRead: true, moving: { to, page: undefined, burial } }
  const from = standing.checkpoint?.position
  return {
    standing: attempting(burying, 'applying'),
    commands: [...commands, { kind: 'bury', from, to, evidence, burial }],
  }
}

/** `undefined` where a source has named it in a text of its own. */
export function positionOf<P>(order: PositionOrder<P>, batch: FailedBatch | undefined): P | undefined {
  try {
    return batch && order.parse(batch.firstPosition)
  } catch {
    return undefined
  }
}
