import { inspect } from 'node:util'
import { ago, count, shortened, utc } from '@tidemark/console/status'
import { versionName } from '@tidemark/core/adapter'
import type { DeadLetter, LetterError, RetryOutcome, ShownLetter } from '@tidemark/core/operations'
import type { ChosenLetters } from '../chosen-letters.ts'
import { type Line, linesOf } from '../lines.ts'
import { table } from '../table.ts'
import { type ListFormat, LONGEST_CELL } from './list-format.ts'

/** Pure, as all of these. */
export function formatLetters(
  letters: readonly DeadLetter[],
  { limit, nowMs, columns }: ListFormat,
): readonly Line[] {
  const last = letters.at(-1)
  if (last === undefined) return ['There are none.']
  const rows = letters.map((letter) => ({
    cells: [
      letter.id,
      versionName(letter),
      placeOf(letter),
      shortened(letter.eventTypes.join(', ') || '?', LONGEST_CELL),
      stateOf(letter),
      String(letter.tries),
      ago(letter.buriedAtMs, nowMs),
      shortened(`${letter.error.name}: ${letter.error.message}`, LONGEST_CELL),
    ],
  }))
  const head = ['id', 'projection', 'position', 'types', 'state', 'tries', 'buried', 'error']
  return [
    ...table(head, rows, columns),
    ...groups(letters),
    ...(letters.length < limit ? [] : ['', `There may be more: --after ${last.id}`]),
  ]
}

/** The same error again and again is one cause to mend. */
function groups(letters: readonly DeadLetter[]): readonly Line[] {
  const causes = new Map<string, number>()
  for (const { projection, error } of letters) {
    const cause = `${projection}: ${error.name}: ${shortened(error.message, LONGEST_CELL)}`
    causes.set(cause, (causes.get(cause) ?? 0) + 1)
  }
  if (causes.size === letters.length) return []
  const sorted = [...causes].sort(([, a], [, b]) => b - a)
  return ['', 'By error:', ...sorted.map(([cause, times]) => `  ${times} of ${cause}`)]
}

const placeOf = ({ firstPosition, lastPosition }: DeadLetter): string =>
  firstPosition === lastPosition ? firstPosition : `${firstPosition} to ${lastPosition}`

function stateOf({ closed, retryAsked, stage }: DeadLetter): string {
  if (closed !== undefined) return closed.as
  if (retryAsked !== undefined) return 'open, retry asked'
  return stage === 'parked' ? 'open, parked' : 'open'
}

export function formatLetter(
  letter: ShownLetter,
  { withData, nowMs }: { readonly withData: boolean; readonly nowMs: number },
): readonly Line[] {
  const { id, source, events, eventTypes, stage, tries, key, node, buriedAtMs } = letter
  const { skippedBy, retryAsked, closed } = letter
  const when = (atMs: number): string => `${utc(atMs)}, ${ago(atMs, nowMs)}`
  return [
    { text: `Dead letter ${id} of ${versionName(letter)}, ${stateOf(letter)}`, tone: 'strong' },
    `  position    ${placeOf(letter)} of ${source}, ${count(events, 'event')}: ${eventTypes.join(', ') || 'of unknown type'}`,
    ...(key === undefined ? [] : [`  key         ${key}`]),
    `  given up    ${when(buriedAtMs)}, by ${node}, at the stage "${stage}", after ${count(tries, 'try').replace('trys', 'tries')}`,
    ...(skippedBy === undefined ? [] : [`  asked by    ${skippedBy.who}: ${skippedBy.why}`]),
    ...(retryAsked === undefined
      ? []
      : [`  retry       asked by ${retryAsked.who}, ${when(retryAsked.atMs)}: ${retryAsked.why}`]),
    ...(closed === undefined
      ? []
      : [`  closed      as ${closed.as} by ${closed.who}, ${when(closed.atMs)}: ${closed.why}`]),
    '',
    ...errorLines(letter.error, ''),
    ...(withData ? ['', ...dataLines(letter)] : ['', 'What is in its events is shown with --data.']),
    ...(closed === undefined ? ['', ...nextLines(letter)] : []),
  ]
}

function errorLines(
  { name, message, code, stack, cause, errors }: LetterError,
  before: string,
): readonly Line[] {
  const told = stack === undefined || stack === '' ? `${name}: ${message}` : stack
  const [first = '', ...others] = linesOf(told)
  return [
    `${before}${first}${code === undefined ? '' : ` [${code}]`}`,
    ...others,
    ...(cause === undefined ? [] : errorLines(cause, 'caused by: ')),
    ...(errors ?? []).flatMap((part) => errorLines(part, 'one of: ')),
  ]
}

function dataLines({ eventsNow, unreadable, events }: ShownLetter): readonly Line[] {
  if (unreadable !== undefined) return [`Its events cannot be read: ${unreadable.message}`]
  if (eventsNow === undefined) return ['Its events cannot be looked at: name their table by --table.']
  const gone = events - eventsNow.length
  return [
    `Its events as they are now${gone > 0 ? `, of which ${gone} are gone` : ''}:`,
    ...eventsNow.flatMap((event) => linesOf(inspect(event, { depth: 8, breakLength: 100 }), '  ')),
  ]
}

function nextLines({ id, stage }: DeadLetter): readonly Line[] {
  return [
    ...(stage === 'parked' ? ['It was never tried: it waits behind the first open one of its key.'] : []),
    'Once the cause is mended:',
    `    tidemark dead-letters retry ${id} --why "..."`,
    'If its effect was brought about by hand, or is not wanted: resolve, or discard, in place of retry.',
  ]
}

export function formatWouldClose({ ids, filter }: ChosenLetters, verb: string): readonly Line[] {
  if (ids.length === 0) return [`There are no ${filter}.`]
  const shown = ids.length > MOST_SHOWN ? `${ids.slice(0, MOST_SHOWN).join(', ')}, ...` : ids.join(', ')
  const which = /^\d/.test(filter) ? filter : `${ids.length} ${filter}`
  return [`Would ${verb} ${which}: ${shown}`]
}

const MOST_SHOWN = 20

export interface ClosedLetters {
  readonly as: 'resolve' | 'discard'
  readonly closed: readonly string[]
  readonly left: readonly string[]
}

export function formatClosed({ as, closed, left }: ClosedLetters): readonly Line[] {
  const done = as === 'resolve' ? 'resolved' : 'discarded'
  return [
    { text: `${count(closed.length, 'dead letter')} ${done}.`, tone: 'good' },
    ...(left.length === 0 ? [] : [`Not open any more, and left as they were: ${left.join(', ')}`]),
  ]
}

export function formatRetry({ retried, failed, left }: RetryOutcome): readonly Line[] {
  return [
    {
      text: `${count(retried.length, 'dead letter')} handled by ${retried.length === 1 ? 'its' : 'their'} own handler, and closed.`,
      tone: failed.length === 0 ? 'good' : 'warn',
    },
    ...(failed.length === 0
      ? []
      : [
          {
            text: `${failed.length} failed again, and stay open: ${failed.join(', ')}`,
            tone: 'bad',
          } as const,
          `  Why the first of them did: tidemark dead-letters show ${failed[0]}`,
        ]),
    ...(left.length === 0
      ? []
      : [
          `${left.length} not tried: closed by somebody else, or behind one of the same key that is still open: ${left.join(', ')}`,
        ]),
  ]
}
