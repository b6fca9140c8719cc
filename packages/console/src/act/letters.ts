import type { DeadLetterOperations } from '@tidemark/core/operations'
import { HttpError } from '../http/http-error.ts'
import type { ResolvedConsoleOptions } from '../options.ts'
import type { ActionName, LetterFilter } from '../protocol.ts'
import { describeLetters, type OpenLetters, openLetters } from '../status/letters.ts'
import { count } from '../status/words.ts'
import type { Action, Asker } from './action.ts'
import type { Fields } from './fields.ts'
import type { Progress } from './jobs.ts'

type Verb = 'retry' | 'resolve' | 'discard'

/** Closed in one statement. */
const CHUNK = 500
const LOOK_EVERY_MS = 1_000
const RETRY_MS = 10 * 60_000
const MOST_COUNT = 1_000_000_000
const MOST_NAMED = 20

/** Which letters are meant. */
type Choice =
  | { readonly ids: readonly string[] }
  | { readonly filter: OpenLetters; readonly count: number | undefined }

function choiceOf(fields: Fields): Choice {
  const [hasIds, hasFilter] = [fields.has('ids'), fields.has('filter')]
  if (hasIds === hasFilter) {
    throw new HttpError(
      400,
      'EMPTY_FILTER',
      'Which dead letters are meant: ids, or a filter; one of the two.',
    )
  }
  if (hasIds) return { ids: [...new Set(fields.texts('ids', /^\d{1,18}$/))] }
  const filter = filterOf(fields.letterFilter('filter'))
  return { filter, count: fields.has('count') ? fields.integer('count', 0, MOST_COUNT) : undefined }
}

function filterOf({ projection, version, type, error }: LetterFilter): OpenLetters {
  return {
    projection,
    ...(version === undefined ? {} : { version }),
    ...(type === undefined ? {} : { eventType: type }),
    ...(error === undefined ? {} : { error }),
  }
}

const describe = (choice: Choice): string =>
  'ids' in choice ? `${count(choice.ids.length, 'dead letter')}` : `the ${describeLetters(choice.filter)}`

/** The ids of those that are meant, and of none that have come since they were counted. */
async function meant({ operations }: ResolvedConsoleOptions, choice: Choice): Promise<readonly string[]> {
  if ('ids' in choice) return choice.ids
  if (choice.count === undefined) {
    throw new HttpError(400, 'COUNT_MISSING', 'How many were shown was not said.', [
      'Say it: count, beside filter.',
    ])
  }
  const ids = await openLetters(operations, choice.filter)
  if (ids.length === choice.count) return ids
  throw new HttpError(
    409,
    'COUNT_CHANGED',
    `${choice.count} were shown, and there are ${ids.length} ${describeLetters(choice.filter)} now. Nothing was changed.`,
    ['Look at them again.'],
  )
}

function action(verb: Verb): Action {
  return (options, fields) => {
    const choice = choiceOf(fields)
    return {
      what: `${verb} ${describe(choice)}`,
      dry: async () => {
        const ids = 'ids' in choice ? choice.ids : await openLetters(options.operations, choice.filter)
        const which = 'ids' in choice ? describe(choice) : `${ids.length} ${describeLetters(choice.filter)}`
        const named = ids.slice(0, MOST_NAMED).join(', ')
        const more = ids.length > MOST_NAMED ? ', ...' : ''
        return {
          would:
            ids.length === 0
              ? ['There are none.']
              : [`Would ${verb} ${which}: ${named}${more}`, ...WOULD[verb]],
          isNothing: ids.length === 0,
          count: ids.length,
          filter: 'ids' in choice ? null : describeLetters(choice.filter),
        }
      },
      run: async (asker, progress, signal) => {
        const ids = await meant(options, choice)
        const { deadLetters } = options.operations
        return verb === 'retry'
          ? await retried(deadLetters, ids, asker, progress, signal)
          : await closed(deadLetters, verb, ids, asker, progress, signal)
      },
    }
  }
}

const WOULD: Readonly<Record<Verb, readonly string[]>> = {
  retry: [
    'Their own handler is given each again, by a daemon that runs the projection. What fails again stays open.',
  ],
  resolve: ['They are closed: their effect is there by now. No handler is called.'],
  discard: ['They are closed: their effect is not wanted. No handler is called.'],
}

async function closed(
  deadLetters: DeadLetterOperations,
  verb: 'resolve' | 'discard',
  ids: readonly string[],
  asker: Asker,
  progress: Progress,
  signal: AbortSignal,
): Promise<string> {
  let done = 0
  for (let from = 0; from < ids.length; from += CHUNK) {
    const chunk = ids.slice(from, from + CHUNK)
    done += (await deadLetters[verb]({ ids: chunk, ...asker })).length
    progress(from + chunk.length, ids.length)
    signal.throwIfAborted()
  }
  const left = ids.length - done
  const told = `${count(done, 'dead letter')} ${verb === 'resolve' ? 'resolved' : 'discarded'}.`
  return left === 0 ? told : `${told} ${count(left, 'dead letter')} not open any more, and left as it was.`
}

/** Shows meanwhile how far the daemons are with them. */
async function retried(
  deadLetters: DeadLetterOperations,
  ids: readonly string[],
  asker: Asker,
  progress: Progress,
  signal: AbortSignal,
): Promise<string> {
  const open = async (): Promise<number> =>
    (await deadLetters.counts()).reduce((sum, each) => sum + each.open, 0)
  const atBegin = await open()
  const look = async (): Promise<void> =>
    progress(Math.max(0, Math.min(ids.length, atBegin - (await open()))), ids.length)
  const timer = setInterval(() => void look().catch(() => {}), LOOK_EVERY_MS)
  try {
    const {
      retried: handled,
      failed,
      left,
    } = await deadLetters.retry({ ids, ...asker, timeoutMs: RETRY_MS, signal })
    const parts = [`${count(handled.length, 'dead letter')} handled.`]
    if (failed.length > 0)
      parts.push(
        `Failed again, and open: ${failed.slice(0, MOST_NAMED).join(', ')}${failed.length > MOST_NAMED ? ', ...' : ''}.`,
      )
    if (left.length > 0) parts.push(`${left.length} not tried, since closed or behind another of their key.`)
    return parts.join(' ')
  } finally {
    clearInterval(timer)
  }
}

/** What is done to dead letters. */
export const LETTER_ACTIONS: Readonly<
  Record<Extract<ActionName, 'retryLetters' | 'resolveLetters' | 'discardLetters'>, Action>
> = {
  retryLetters: action('retry'),
  resolveLetters: action('resolve'),
  discardLetters: action('discard'),
}
