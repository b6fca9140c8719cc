import { describeBatch, isOwnFault } from '../failures/classify.ts'
import type { PendingRequest } from '../ports/control.ts'
import { isReached } from '../ports/position.ts'
import type { Context, SkipOrder } from './commands.ts'
import type { Standing } from './standing.ts'

/**
 * What becomes of the request to skip the event at which a projection fails. `undefined`: that is not known yet, as after a
 * start, while it is looked for which event of a batch fails, and while the store itself fails. Pure.
 */
export function skipAsked<P>(
  standing: Standing<P>,
  { position = '', who, why }: PendingRequest,
  { order, reading }: Pick<Context<P>, 'order' | 'reading'>,
): SkipOrder<P> | undefined {
  const { failing, failure, pause, pausedBy, hasPassed, isCheckpointRead, cursor } = standing
  const from = standing.checkpoint?.position
  const stands = `its checkpoint is ${from === undefined ? 'none yet' : order.format(from)}`
  if (isReached(order, order.parse(position), from)) return { refused: `${position} has passed, ${stands}` }
  if (pausedBy !== undefined) return { refused: `${pausedBy.who} has paused it (${pausedBy.why})` }
  const isSameRun = reading?.incarnation === standing.cursorIncarnation
  if (failing !== undefined) {
    const { to, burial } = failing
    if (burial.batch.firstPosition !== position) {
      return { refused: `it fails${describeBatch(burial.batch)}, and not at ${position}` }
    }
    const evidence = failing.evidence ?? (isReached(order, to, reading?.mark) ? reading : undefined)
    if (!isSameRun || evidence === undefined) return undefined
    return { from, to, evidence, burial: { ...burial, by: { who, why } } }
  }
  const shown = pause?.failure ?? failure
  if (pause !== undefined && shown !== undefined && isOwnFault(shown.stage)) {
    const where = describeBatch(shown.batch)
    return {
      refused: `its handler has ended the transaction of several events${where}, of which none is known to fail`,
    }
  }
  const isAtEnd = isCheckpointRead && isSameRun && isReached(order, reading?.mark, cursor)
  if (shown !== undefined || !(hasPassed || isAtEnd)) return undefined
  return { refused: `it runs and nothing fails, ${stands}` }
}
