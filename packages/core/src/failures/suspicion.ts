import { isReached, type PositionOrder } from '../ports/position.ts'
import type { FoundTenure, Suspicion, Tenure } from '../ports/tenures.ts'

/** A part of a batch that may hold the event which ends the process: two such steps part five thousand. */
const PARTS = 72
/** Within that, whoever has said what it tries has locked the checkpoint. */
const LOCKED_WITHIN_MS = 1_000

/** Who begins, and where. */
export interface Beginning {
  readonly session: string
  readonly from: string | undefined
  /** The mark. */
  readonly through: string
  readonly batchSize: number
}

/** What is to be handled. */
export interface Trial {
  /** How many events the page was asked for with. */
  readonly asked: number
  /** Whether all of it shares one position. */
  readonly isPosition: boolean
  /** How often the process may end at the events of one position. */
  readonly attempts: number
  /** Whether somebody has decided to try it once more all the same. */
  readonly isDared: boolean
  /** Whether no other suspected events are handled in this process meanwhile. */
  readonly hasTurn: boolean
}

/** What follows, and what is to be kept before it does. */
export type Begun =
  /** The handler may be called. */
  | { readonly kind: 'go'; readonly tenure: Tenure }
  /** It may be called once it is this unit's turn. */
  | { readonly kind: 'wait'; readonly tenure: Tenure }
  /** A smaller page is needed. */
  | { readonly kind: 'smaller'; readonly limit: number; readonly tenure: Tenure }
  /** Tried often enough: the handler is not called. */
  | { readonly kind: 'tried'; readonly tries: number; readonly tenure: Tenure }

/** Before a page is handled. Pure, as all that follow. */
export function begun(found: FoundTenure, beginning: Beginning, trial: Trial): Begun {
  const tenure = taken(found, beginning)
  const { suspicion } = tenure
  if (suspicion === undefined) return { kind: 'go', tenure }
  const { limit, tries } = suspicion
  const { asked, attempts, isDared, hasTurn } = trial
  const isPosition = trial.isPosition || asked === 1
  if (!isPosition && asked > limit) return { kind: 'smaller', limit, tenure }
  if (tries >= attempts && !isDared) return { kind: 'tried', tries, tenure }
  if (!hasTurn) return { kind: 'wait', tenure }
  const trying = isPosition ? 'position' : 'batch'
  return { kind: 'go', tenure: { ...tenure, suspicion: { ...suspicion, trying } } }
}

/** The same where nothing is handled: only the checkpoint moves. */
export function taken(found: FoundTenure, beginning: Beginning): Tenure {
  return { session: beginning.session, suspicion: suspected(found, beginning) }
}

/** It has said what it tries, and may not have come to lock the checkpoint yet. */
export function isAnothers({ session, suspicion, ageMs }: FoundTenure, beginning: Beginning): boolean {
  const isOthers = session !== undefined && session !== beginning.session
  return isOthers && suspicion !== undefined && suspicion.trying !== 'nothing' && ageMs < LOCKED_WITHIN_MS
}

function suspected(found: FoundTenure, beginning: Beginning): Suspicion | undefined {
  const { session, from, through, batchSize } = beginning
  const known = found.suspicion
  const isUnclean = found.session !== undefined && found.session !== session
  if (known === undefined || known.from !== (from ?? null)) {
    // Where no event waits, none has ended it.
    return isUnclean && from !== through ? first({ from: from ?? null, through, batchSize }) : undefined
  }
  return isUnclean ? afterDeath(known) : { ...known, trying: 'nothing' }
}

/** Most processes end for another reason: a kill, a crash, a machine that is gone. So the whole batch is tried once more. */
function first({
  from,
  through,
  batchSize,
}: Pick<Suspicion, 'from' | 'through'> & Pick<Beginning, 'batchSize'>): Suspicion {
  return { from, through, left: batchSize, limit: batchSize, tries: 0, trying: 'nothing' }
}

function afterDeath(known: Suspicion): Suspicion {
  const { limit, tries, trying } = known
  // It was not this unit that worked.
  if (trying === 'nothing') return known
  if (trying === 'batch') return { ...known, left: limit, limit: partOf(limit), tries: 0, trying: 'nothing' }
  return { ...known, left: 1, limit: 1, tries: tries + 1, trying: 'nothing' }
}

function partOf(events: number): number {
  return Math.ceil(events / PARTS)
}

/** After the checkpoint has moved to `to`, over that many events. `undefined`: what ended the process is behind. */
export function passed<P>(
  order: PositionOrder<P>,
  suspicion: Suspicion | undefined,
  { to, events }: { readonly to: P; readonly events: number },
): Suspicion | undefined {
  if (suspicion === undefined) return undefined
  const left = suspicion.left - events
  if (left <= 0 || isReached(order, order.parse(suspicion.through), to)) return undefined
  const tries = events === 0 ? suspicion.tries : 0
  return { ...suspicion, from: order.format(to), left, tries, trying: 'nothing' }
}
