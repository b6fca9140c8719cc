import type { DeadLetter, DeadLetterOperations } from '@tidemark/core/operations'

/** Open dead letters that match all that is given. */
export interface OpenLetters {
  readonly projection: string
  readonly version?: number
  readonly eventType?: string
  /** As `causeOf` says it. */
  readonly error?: string
}

const LONGEST_CAUSE = 200
const PAGE = 1_000

/** What letters with the same cause have in common: the kind of the error, and the beginning of what it says. Pure. */
export function causeOf({ error }: Pick<DeadLetter, 'error'>): string {
  return Array.from(`${error.name}: ${error.message}`).slice(0, LONGEST_CAUSE).join('')
}

/** The ids of those that match, in the order in which they were buried. */
export async function openLetters(
  { deadLetters }: { readonly deadLetters: Pick<DeadLetterOperations, 'list' | 'openIds'> },
  { error, version, ...filter }: OpenLetters,
): Promise<readonly string[]> {
  const ids: string[] = []
  if (error === undefined) {
    const of = version === undefined ? filter : { ...filter, version }
    for await (const page of pages(
      (next) => deadLetters.openIds({ ...of, ...next }),
      (id) => id,
    )) {
      ids.push(...page)
    }
    return ids
  }
  // What an error says is compared here: it may hold what is no text for the database.
  const read = (next: Page): Promise<readonly DeadLetter[]> =>
    deadLetters.list({ ...filter, ...next, state: 'open' })
  for await (const page of pages(read, ({ id }) => id)) {
    const meant = page.filter(
      (letter) => (version === undefined || letter.version === version) && causeOf(letter) === error,
    )
    ids.push(...meant.map(({ id }) => id))
  }
  return ids
}

interface Page {
  readonly limit: number
  readonly after?: string
}

async function* pages<T>(
  read: (next: Page) => Promise<readonly T[]>,
  idOf: (row: T) => string,
): AsyncGenerator<readonly T[]> {
  let last: T | undefined
  let count: number
  do {
    const page = await read({ limit: PAGE, ...(last === undefined ? {} : { after: idOf(last) }) })
    yield page
    last = page.at(-1)
    count = page.length
  } while (count === PAGE)
}

/** In words: `open dead letters of orders with an event OrderPlaced`. */
export function describeLetters({ projection, version, eventType, error }: OpenLetters): string {
  return [
    `open dead letters of ${projection}`,
    ...(version === undefined ? [] : [`in its version ${version}`]),
    ...(eventType === undefined ? [] : [`with an event ${eventType}`]),
    ...(error === undefined ? [] : [`that have failed with "${error}"`]),
  ].join(' ')
}
