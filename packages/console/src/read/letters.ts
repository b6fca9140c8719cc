import type { DeadLetter, DeadLetterOperations, LetterError as StoredError } from '@tidemark/core/operations'
import { HttpError } from '../http/http-error.ts'
import type { ResolvedConsoleOptions } from '../options.ts'
import type {
  Letter,
  LetterAnswer,
  LetterError,
  LetterGroup,
  LetterGroupsAnswer,
  LetterState,
  LettersAnswer,
} from '../protocol.ts'
import { causeOf } from '../status/letters.ts'
import { operatedSource } from '../status/operated-source.ts'
import type { Query } from './query.ts'

const STATES: readonly LetterState[] = ['open', 'resolved', 'discarded', 'retried', 'replayed']
/** In one statement. */
const PAGE = 1_000
/** Of one look through them. There may be a million. */
const MOST_LOOKED = 5_000

type Letters = Pick<DeadLetterOperations, 'list' | 'counts' | 'show'>

export async function lettersAnswer(letters: Letters, query: Query): Promise<LettersAnswer> {
  const limit = query.limit()
  const counts = await letters.counts()
  const filter = filterOf(query, query.oneOf('state', STATES, 'open'))
  const { found, after } = await lookThrough(letters, filter, limit)
  return { letters: found.map(letterOf), after: after ?? null, counts }
}

export async function letterGroups(letters: Letters, query: Query): Promise<LetterGroupsAnswer> {
  const { found, after } = await lookThrough(letters, filterOf(query, 'open'), MOST_LOOKED)
  return { groups: groupsOf(found), looked: found.length, isWhole: after === undefined }
}

interface Filter {
  readonly projection: string | undefined
  readonly version: number | undefined
  readonly state: LetterState | undefined
  readonly eventType: string | undefined
  readonly error: string | undefined
  readonly after: string | undefined
}

function filterOf(query: Query, state: LetterState | undefined): Filter {
  return {
    projection: query.text('projection'),
    version: query.version(),
    state,
    eventType: query.text('type'),
    error: query.text('error'),
    after: query.digits('after'),
  }
}

/** The first so many that match. `after`: behind which one the next page begins; `undefined`: there is none. */
async function lookThrough(
  letters: Letters,
  { projection, version, state, eventType, error, after }: Filter,
  most: number,
): Promise<{ readonly found: readonly DeadLetter[]; readonly after: string | undefined }> {
  const found: DeadLetter[] = []
  const isPicky = version !== undefined || error !== undefined
  let last = after
  for (let looked = 0; looked < MOST_LOOKED; looked += PAGE) {
    // One more than are shown tells whether there is another page.
    const limit = isPicky ? PAGE : Math.min(PAGE, most + 1 - found.length)
    const page = await letters.list({
      limit,
      ...(projection === undefined ? {} : { projection }),
      ...(state === undefined ? {} : { state }),
      ...(eventType === undefined ? {} : { eventType }),
      ...(last === undefined ? {} : { after: last }),
    })
    for (const letter of page) {
      const isMeant =
        (version === undefined || letter.version === version) &&
        (error === undefined || causeOf(letter) === error)
      if (isMeant && found.length === most) return { found, after: found.at(-1)?.id }
      if (isMeant) found.push(letter)
      last = letter.id
    }
    if (page.length < limit) return { found, after: undefined }
  }
  return { found, after: last }
}

/** The largest first; pure. */
export function groupsOf(letters: readonly DeadLetter[]): readonly LetterGroup[] {
  const groups = new Map<string, LetterGroup>()
  for (const letter of letters) {
    const { projection, version, buriedAtMs, eventTypes } = letter
    const error = causeOf(letter)
    const key = JSON.stringify([projection, version, error])
    const known = groups.get(key)
    groups.set(key, {
      projection,
      version,
      error,
      count: (known?.count ?? 0) + 1,
      oldestAtMs: Math.min(known?.oldestAtMs ?? buriedAtMs, buriedAtMs),
      newestAtMs: Math.max(known?.newestAtMs ?? buriedAtMs, buriedAtMs),
      eventTypes: [...new Set([...(known?.eventTypes ?? []), ...eventTypes])],
    })
  }
  return [...groups.values()].toSorted((a, b) => b.count - a.count || a.oldestAtMs - b.oldestAtMs)
}

export async function letterAnswer(
  options: ResolvedConsoleOptions,
  id: string,
  query: Query,
): Promise<LetterAnswer> {
  const letter = await options.operations.deadLetters.show(id)
  if (letter === undefined)
    throw new HttpError(404, 'NO_SUCH_LETTER', `There is no dead letter ${JSON.stringify(id)}.`)
  const nothing = { letter: letterOf(letter), error: errorOf(letter.error), events: null, unreadable: null }
  if (!query.has('data')) return nothing
  if (!options.showEventData) {
    throw new HttpError(403, 'DATA_NOT_SHOWN', 'The console is not allowed to show what is in events.', [
      'Its option showEventData allows that.',
    ])
  }
  const { operations } = operatedSource(options, options.checkpoints, letter.source)
  const { eventsNow, unreadable } = (await operations.deadLetters.show(id)) ?? {}
  if (eventsNow === undefined)
    return { ...nothing, unreadable: unreadable?.message ?? 'they cannot be looked at' }
  return redacted(nothing, eventsNow, options.redact)
}

/** What `redact` throws may hold what it was to hide. */
function redacted(
  answer: LetterAnswer,
  events: readonly unknown[],
  redact: (event: unknown) => unknown,
): LetterAnswer {
  try {
    // As text once here: what cannot be written is found out now, and a bigint is a text.
    const shown = JSON.stringify(
      events.map((event) => redact(event) ?? null),
      (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
    )
    return { ...answer, events: JSON.parse(shown) as readonly unknown[] }
  } catch {
    return { ...answer, unreadable: 'the option redact of the console has thrown, or gave what is no JSON' }
  }
}

function letterOf(letter: DeadLetter): Letter {
  const { id, projection, version, source, firstPosition, lastPosition, events, eventTypes } = letter
  const { stage, tries, key, node, buriedAtMs, error, skippedBy, retryAsked, closed } = letter
  return {
    id,
    projection,
    version,
    source,
    firstPosition,
    lastPosition,
    events,
    eventTypes,
    stage,
    tries,
    key: key ?? null,
    node,
    buriedAtMs,
    state: closed?.as ?? 'open',
    error: { name: error.name, message: error.message, code: error.code ?? null },
    skippedBy: skippedBy === undefined ? null : { who: skippedBy.who, why: skippedBy.why },
    retryAsked: retryAsked ?? null,
    closed: closed ?? null,
  }
}

function errorOf({ name, message, code, stack, cause, errors = [] }: StoredError): LetterError {
  return {
    name,
    message,
    code: code ?? null,
    stack: stack ?? null,
    cause: cause === undefined ? null : errorOf(cause),
    errors: errors.map(errorOf),
  }
}
