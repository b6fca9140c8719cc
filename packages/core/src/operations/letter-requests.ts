import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireInteger, requireName } from '../kernel/validation.ts'
import type { LetterFilter } from '../ports/dead-letters.ts'
import { requireAsker, requireLimit, resolveWait } from './requests.ts'

export interface LettersRequest {
  /**
   * The projection whose letters are wanted.
   * - Change it when: one projection is looked at.
   * @default every projection
   */
  readonly projection?: string
  /**
   * `'open'`, `'resolved'`, `'discarded'`, `'retried'` or `'replayed'`.
   * - Change it when: only what is still to be done is wanted.
   * @default whatever their state
   */
  readonly state?: NonNullable<LetterFilter['state']>
  /**
   * A type of the events that were given up.
   * - Change it when: one kind of event fails.
   * @default whatever their types
   */
  readonly eventType?: string
  /**
   * The id of the last letter of the page before.
   * - Change it when: the next page is wanted.
   * @default the first page
   */
  readonly after?: string
  /**
   * How many letters at most, up to 1,000.
   * - Raising it: fewer calls for many letters; each answer is larger.
   * - Lowering it: smaller answers.
   * - Change it when: a page of yours shows more or fewer.
   * @unit letters
   * @default 100
   */
  readonly limit?: number
}

export interface OpenIdsRequest extends Omit<LettersRequest, 'state'> {
  /**
   * The version of the projection.
   * - Change it when: several versions have letters, and one is looked at.
   * @default every version
   */
  readonly version?: number
}

/** Which letters are closed, by whom and why. */
export interface ClosingRequest {
  /** The ids of the letters. */
  readonly ids: readonly string[]
  /** Who asks: a name that the people who read it know. At most 255 characters. */
  readonly who: string
  /** Why: it is kept with the letters. At most 2,000 characters. */
  readonly why: string
}

/** Which letters are retried: those of `ids`, or the open ones of a projection. */
export interface RetryRequest {
  /**
   * The ids of the letters. Of a key only the first that is open can be retried; the others follow it.
   * - Change it when: some of the letters are to be retried.
   * @default none: those of `projection`
   */
  readonly ids?: readonly string[]
  /**
   * The projection whose open letters are retried: those of all its versions that are neither retired nor forgotten.
   * - Change it when: all letters of a projection are to be retried, or all of one type of event.
   * @default none: those of `ids`
   */
  readonly projection?: string
  /**
   * With `projection`: only letters that have events of this type.
   * - Change it when: one kind of event has failed, and its handler is mended.
   * @default whatever their types
   */
  readonly eventType?: string
  /** Who asks: a name that the people who read it know. At most 255 characters. */
  readonly who: string
  /** Why: it is kept with the letters. At most 2,000 characters. */
  readonly why: string
  /**
   * How long to wait for the answer before this rejects with a `WaitTimeoutError`. The retries go on all the same.
   * - Raising it: more letters, or a daemon that is started later, are waited for.
   * - Lowering it: whoever asks hears sooner that they are not done yet.
   * - Change it when: there are many letters, or their handler takes long.
   * @unit ms
   * @default 30000
   */
  readonly timeoutMs?: number
  /**
   * Ends the wait, which rejects with the signal's reason. The retries go on all the same.
   * - Change it when: who asked may go away meanwhile.
   * @default none
   */
  readonly signal?: AbortSignal
}

const RETRY_REQUEST: Readonly<Record<keyof RetryRequest, true>> = {
  ids: true,
  projection: true,
  eventType: true,
  who: true,
  why: true,
  timeoutMs: true,
  signal: true,
}
const LETTERS_REQUEST: Readonly<Record<keyof LettersRequest, true>> = {
  projection: true,
  state: true,
  eventType: true,
  after: true,
  limit: true,
}
const OPEN_IDS_REQUEST: Readonly<Record<keyof OpenIdsRequest, true>> = {
  projection: true,
  version: true,
  eventType: true,
  after: true,
  limit: true,
}
const CLOSING_REQUEST: Readonly<Record<keyof ClosingRequest, true>> = { ids: true, who: true, why: true }
const STATES = ['open', 'resolved', 'discarded', 'retried', 'replayed']

export function resolveLetters(request: LettersRequest): LettersRequest & { readonly limit: number } {
  requireKnownOptions(request, LETTERS_REQUEST)
  const { state } = request
  if (state !== undefined && !STATES.includes(state)) {
    throw new InvalidOptionError('state', `one of ${STATES.join(', ')}`, state)
  }
  return { ...request, limit: requirePage(request) }
}

export function resolveOpenIds(request: OpenIdsRequest): OpenIdsRequest & { readonly limit: number } {
  requireKnownOptions(request, OPEN_IDS_REQUEST)
  if (request.version !== undefined) requireInteger('version', request.version, 1)
  return { ...request, limit: requirePage(request) }
}

/** The limit of the page. */
function requirePage({ after, projection, eventType, limit }: Omit<LettersRequest, 'state'>): number {
  if (projection !== undefined) requireName('projection', projection)
  requireEventType(eventType)
  if (after !== undefined && !(typeof after === 'string' && /^\d{1,18}$/.test(after))) {
    throw new InvalidOptionError('after', 'the id of a dead letter', after)
  }
  return requireLimit(limit)
}

export function resolveClosing(request: ClosingRequest): ClosingRequest {
  requireKnownOptions(request, CLOSING_REQUEST)
  requireIds(request.ids)
  requireAsker(request)
  return request
}

export interface ResolvedRetry extends Required<Pick<RetryRequest, 'who' | 'why' | 'timeoutMs' | 'signal'>> {
  readonly chosen: readonly string[] | { readonly projection: string; readonly eventType?: string }
}

export function resolveRetry(request: RetryRequest): ResolvedRetry {
  requireKnownOptions(request, RETRY_REQUEST)
  const { ids, projection, eventType, who, why } = request
  const { timeoutMs, signal } = resolveWait(request)
  requireAsker(request)
  requireEventType(eventType)
  const limits = { who, why, timeoutMs, signal }
  if (projection === undefined) {
    // A slip must not retry everything.
    if (eventType !== undefined) {
      throw new InvalidOptionError(
        'projection',
        'the projection whose letters of `eventType` are meant',
        projection,
      )
    }
    requireIds(ids)
    return { ...limits, chosen: ids }
  }
  if (ids !== undefined) throw new InvalidOptionError('ids', 'none, or no `projection`', ids)
  requireName('projection', projection)
  return { ...limits, chosen: { projection, ...(eventType === undefined ? {} : { eventType }) } }
}

function requireIds(ids: unknown): asserts ids is readonly string[] {
  if (!Array.isArray(ids) || ids.some((id) => typeof id !== 'string')) {
    throw new InvalidOptionError('ids', 'an array of ids of dead letters', ids)
  }
}

function requireEventType(eventType: unknown): void {
  if (eventType !== undefined && typeof eventType !== 'string') {
    throw new InvalidOptionError('eventType', 'the type of an event', eventType)
  }
}
