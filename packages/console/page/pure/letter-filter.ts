import type {
  LetterChoice,
  LetterCount,
  LetterFilter,
  LetterGroupsAnswer,
  LetterState,
} from '../../src/protocol.ts'
import { count } from './words.ts'

export interface Looked {
  readonly projection: string
  /** `''`: every one. */
  readonly version: string
  readonly type: string
  readonly error: string
  readonly state: LetterState | 'any'
}

/** What the address says. Pure, as all that follow. */
export function lookedFor(query: URLSearchParams): Looked {
  const of = (name: string): string => query.get(name) ?? ''
  const state = of('state')
  return {
    projection: of('projection'),
    version: /^\d{1,9}$/.test(of('version')) ? of('version') : '',
    type: of('type'),
    error: of('error'),
    state: STATES.find((each) => each === state) ?? 'open',
  }
}

export const STATES = ['open', 'any', 'retried', 'resolved', 'discarded', 'replayed'] as const

/** `open dead letters of orders, version 2, with an event OrderPlaced, that failed with "Error: no"` */
export function filterWords({ projection, version, type, error, state }: Looked): string {
  const parts = [
    `${state === 'any' ? '' : `${state} `}dead letters of ${projection === '' ? 'every projection' : projection}`,
    version === '' ? '' : `version ${version}`,
    type === '' ? '' : `with an event ${type}`,
    error === '' ? '' : `that failed with “${error}”`,
  ]
  return parts.filter((part) => part !== '').join(', ')
}

/**
 * The open letters that are meant by what is looked for, where that is a filter which says something, with how many they are; `undefined`:
 * nothing can be done to them together.
 */
export function bulkChoice(
  looked: Looked,
  groups: LetterGroupsAnswer | undefined,
  counts: readonly LetterCount[],
): Extract<LetterChoice, { filter: LetterFilter }> | undefined {
  const { projection, version, type, error, state } = looked
  if (projection === '' || state !== 'open') return undefined
  const howMany = type === '' && error === '' ? countOf(looked, counts) : groupedCount(looked, groups)
  if (howMany === undefined || howMany === 0) return undefined
  return {
    filter: {
      projection,
      ...(version === '' ? {} : { version: Number(version) }),
      ...(type === '' ? {} : { type }),
      ...(error === '' ? {} : { error }),
    },
    count: howMany,
  }
}

const isOf = (
  { projection, version }: Looked,
  of: { readonly projection: string; readonly version: number },
): boolean => of.projection === projection && (version === '' || of.version === Number(version))

function countOf(looked: Looked, counts: readonly LetterCount[]): number {
  return counts.filter((each) => isOf(looked, each)).reduce((sum, { open }) => sum + open, 0)
}

/** Where there are too many to be grouped, nobody knows how many they are. */
function groupedCount(looked: Looked, groups: LetterGroupsAnswer | undefined): number | undefined {
  if (groups === undefined || !groups.isWhole) return undefined
  return groups.groups
    .filter((group) => isOf(looked, group) && (looked.error === '' || group.error === looked.error))
    .reduce((sum, group) => sum + group.count, 0)
}

/** `of the 12 open dead letters of orders` */
export function choiceWords(choice: LetterChoice, looked: Looked): string {
  if ('ids' in choice) return count(choice.ids.length, 'chosen dead letter')
  return `${count(choice.count, 'letter')}: ${filterWords(looked)}`
}
