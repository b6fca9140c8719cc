import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireName } from '../kernel/validation.ts'
import { LATE_STATES, type LateState } from '../ports/late-events.ts'
import { isPosition, type PositionOrder } from '../ports/position.ts'
import { requireAsker, requireLimit } from './requests.ts'

export interface SkipsRequest<P> {
  /**
   * The projection that has passed them.
   * - Change it when: one projection is looked at.
   * @default whoever has passed them
   */
  readonly projection?: string
  /**
   * Runs that reach up to this position, or above it. Needs `source`.
   * - Change it when: one place is looked at.
   * @default from the first
   */
  readonly from?: P
  /**
   * Runs that begin at this position, or below it. Needs `source`.
   * - Change it when: one place is looked at, or the next page is wanted: the position below the last run of this one.
   * @default up to the last
   */
  readonly to?: P
  /**
   * How many at most, up to 1,000.
   * - Raising it: fewer calls for many; each answer is larger, and asks more of the events' table.
   * - Lowering it: smaller answers.
   * - Change it when: a page of yours shows more or fewer.
   * @unit runs
   * @default 100
   */
  readonly limit?: number
}

export interface LateEventsRequest<P> {
  /**
   * The projection that has passed them.
   * - Change it when: one projection is looked at.
   * @default whoever has passed them
   */
  readonly projection?: string
  /**
   * What has become of them: `'open'`, `'in_order'`, `'on_late_event'`, `'reprocessed'`, `'discarded'` or `'not_wanted'`.
   * - Change it when: only what is still to be done is wanted.
   * @default whatever has become of them
   */
  readonly state?: LateState
  /**
   * Events at this position, or above it. Needs `source`.
   * - Change it when: one place is looked at.
   * @default from the first
   */
  readonly from?: P
  /**
   * Events at this position, or below it. Needs `source`.
   * - Change it when: one place is looked at, or the next page is wanted: the position below the last event of this one.
   * @default up to the last
   */
  readonly to?: P
  /**
   * How many at most, up to 1,000.
   * - Raising it: fewer calls for many; each answer is larger.
   * - Lowering it: smaller answers.
   * - Change it when: a page of yours shows more or fewer.
   * @unit events
   * @default 100
   */
  readonly limit?: number
}

/** Which late events an operator decides about, who that is, and why. */
export interface LateDecisionRequest<P> {
  /** The first position. */
  readonly from: P
  /** The last position. */
  readonly to: P
  /**
   * The projections that are meant.
   * - Change it when: others are to keep theirs open.
   * @default every projection that has missed them
   */
  readonly projections?: readonly string[]
  /** Who asks: a name that the people who read it know. At most 255 characters. */
  readonly who: string
  /** Why: it is kept with the events. At most 2,000 characters. */
  readonly why: string
}

export interface ReprocessRequest<P> extends LateDecisionRequest<P> {
  /**
   * How long to wait for the answer before this rejects with a `WaitTimeoutError`. The events are handled all the same.
   * - Raising it: more events, or a daemon that is started later, are waited for.
   * - Lowering it: whoever asks hears sooner that they are not done yet.
   * - Change it when: there are many events, or their handler takes long.
   * @unit ms
   * @default 30000
   */
  readonly timeoutMs?: number
  /**
   * Ends the wait, which rejects with the signal's reason. The events are handled all the same.
   * - Change it when: who asked may go away meanwhile.
   * @default none
   */
  readonly signal?: AbortSignal
}

const SKIPS_REQUEST: Readonly<Record<keyof SkipsRequest<unknown>, true>> = {
  projection: true,
  from: true,
  to: true,
  limit: true,
}
const LATE_REQUEST: Readonly<Record<keyof LateEventsRequest<unknown>, true>> = {
  ...SKIPS_REQUEST,
  state: true,
}
const DECISION_REQUEST: Readonly<Record<keyof LateDecisionRequest<unknown>, true>> = {
  from: true,
  to: true,
  projections: true,
  who: true,
  why: true,
}

/** What is needed of a source: how its positions are written. */
interface Ordered<P> {
  readonly order: PositionOrder<P>
}

interface Listed {
  readonly projection?: string
  readonly from?: string
  readonly to?: string
  readonly limit: number
}

export function resolveSkips<P>(request: SkipsRequest<P>, source: Ordered<P> | undefined): Listed {
  requireKnownOptions(request, SKIPS_REQUEST)
  return listed(request, source)
}

export function resolveLateEvents<P>(
  request: LateEventsRequest<P>,
  source: Ordered<P> | undefined,
): Listed & { readonly state?: LateState } {
  requireKnownOptions(request, LATE_REQUEST)
  const { state } = request
  if (state === undefined) return listed(request, source)
  if (!LATE_STATES.includes(state))
    throw new InvalidOptionError('state', `one of ${LATE_STATES.join(', ')}`, state)
  return { ...listed(request, source), state }
}

export function resolveDecision<P>(
  request: LateDecisionRequest<P>,
  source: Ordered<P>,
): { readonly from: string; readonly to: string; readonly projections: readonly string[] | undefined } {
  const { from, to, projections } = request
  if (projections !== undefined) {
    if (!Array.isArray(projections) || projections.length === 0)
      throw new InvalidOptionError('projections', 'a non-empty array of names', projections)
    for (const name of projections) requireName('projections', name)
  }
  requireAsker(request)
  return { from: text('from', from, source), to: text('to', to, source), projections }
}

export function requireDecisionOptions(request: object, more: Readonly<Record<string, true>> = {}): void {
  requireKnownOptions(request, { ...DECISION_REQUEST, ...more })
}

function listed<P>({ projection, from, to, limit }: SkipsRequest<P>, source: Ordered<P> | undefined): Listed {
  if (projection !== undefined) requireName('projection', projection)
  return {
    limit: requireLimit(limit),
    ...(projection === undefined ? {} : { projection }),
    ...(from === undefined ? {} : { from: text('from', from, source) }),
    ...(to === undefined ? {} : { to: text('to', to, source) }),
  }
}

function text<P>(option: string, position: P, source: Ordered<P> | undefined): string {
  if (source === undefined) {
    throw new InvalidOptionError('source', `the EventSource, since ${option} is a position`, source)
  }
  if (!isPosition(source.order, position))
    throw new InvalidOptionError(option, 'a position of the source', position)
  return source.order.format(position)
}
