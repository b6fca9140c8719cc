import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireName } from '../kernel/validation.ts'
import type { LetterFilter } from '../ports/dead-letters.ts'
import { requireAsker, requireLimit } from './requests.ts'

export interface LettersRequest {
  /**
   * The projection whose letters are wanted.
   * - Change it when: one projection is looked at.
   * @default every projection
   */
  readonly projection?: string
  /**
   * `'open'`, `'resolved'` or `'discarded'`.
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

/** Which letters are closed, by whom and why. */
export interface ClosingRequest {
  /** The ids of the letters. */
  readonly ids: readonly string[]
  /** Who asks: a name that the people who read it know. At most 255 characters. */
  readonly who: string
  /** Why: it is kept with the letters. At most 2,000 characters. */
  readonly why: string
}

const LETTERS_REQUEST: Readonly<Record<keyof LettersRequest, true>> = {
  projection: true,
  state: true,
  eventType: true,
  after: true,
  limit: true,
}
const CLOSING_REQUEST: Readonly<Record<keyof ClosingRequest, true>> = { ids: true, who: true, why: true }
const STATES = ['open', 'resolved', 'discarded']

export function resolveLetters(request: LettersRequest): LettersRequest & { readonly limit: number } {
  requireKnownOptions(request, LETTERS_REQUEST)
  const { state } = request
  if (state !== undefined && !STATES.includes(state)) {
    throw new InvalidOptionError('state', `one of ${STATES.join(', ')}`, state)
  }
  const { after, projection, eventType } = request
  if (projection !== undefined) requireName('projection', projection)
  if (eventType !== undefined && typeof eventType !== 'string') {
    throw new InvalidOptionError('eventType', 'the type of an event', eventType)
  }
  if (after !== undefined && !(typeof after === 'string' && /^\d{1,18}$/.test(after))) {
    throw new InvalidOptionError('after', 'the id of a dead letter', after)
  }
  return { ...request, limit: requireLimit(request.limit) }
}

export function resolveClosing(request: ClosingRequest): ClosingRequest {
  requireKnownOptions(request, CLOSING_REQUEST)
  const { ids } = request
  if (!Array.isArray(ids) || ids.some((id) => typeof id !== 'string')) {
    throw new InvalidOptionError('ids', 'an array of ids of dead letters', ids)
  }
  requireAsker(request)
  return request
}
