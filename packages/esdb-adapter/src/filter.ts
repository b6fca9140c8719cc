import { InvalidOptionError } from '@tidemark/core/adapter'
import { isOfCheckpoints } from './checkpoint-stream.ts'
import type { EsdbRecord, EsdbServerFilter } from './client.ts'

/**
 * Which events of `$all` a source hands out: what both clients' `streamNameFilter()` and `eventTypeFilter()` make, or the
 * same written by hand. Of those, `checkpointReached`, `checkpointInterval` and `maxSearchWindow` are not used.
 */
export type EsdbFilter = { readonly filterOn: 'streamName' | 'eventType' } & (
  | { readonly prefixes: readonly string[] }
  /** As JavaScript understands it. */
  | { readonly regex: string }
)

/** What a source of `$all` does with each record in it. */
export interface AllFilter {
  isHandedOut(record: EsdbRecord): boolean
  /**
   * Whether the record counts as news. Wider than `isHandedOut`, so that the checkpoint of a projection whose filter
   * rarely matches still follows. The system's own records and those of checkpoints do not count: following them would
   * append the next one.
   */
  isNews(record: EsdbRecord): boolean
  /** The same as a filter of the server, for wake-ups; it may let more pass. */
  readonly onServer: EsdbServerFilter
}

/** The clients' `excludeSystemEvents()`. */
const NO_SYSTEM_EVENTS: EsdbServerFilter = {
  filterOn: 'eventType',
  regex: '^[^$].*',
  checkpointInterval: 1,
}

export function allFilter(filter: EsdbFilter | undefined): AllFilter {
  if (filter === undefined) {
    const isHandedOut = (record: EsdbRecord): boolean => !isOfSystem(record) && !isOfCheckpoints(record)
    return { isHandedOut, isNews: isHandedOut, onServer: NO_SYSTEM_EVENTS }
  }
  const matches = matcher(filter)
  const { filterOn } = filter
  return {
    isHandedOut: (record) => matches(record) && !isOfCheckpoints(record),
    isNews: (record) => (!isOfSystem(record) || matches(record)) && !isOfCheckpoints(record),
    onServer: Object.freeze({
      filterOn,
      ...('regex' in filter ? { regex: filter.regex } : { prefixes: [...filter.prefixes] }),
      checkpointInterval: 1,
    }),
  }
}

/** Streams and event types that begin with `$` are the server's own; links are, wherever they stand. */
function isOfSystem({ streamId, type }: EsdbRecord): boolean {
  return type.startsWith('$') || streamId.startsWith('$')
}

function matcher(filter: EsdbFilter): (record: EsdbRecord) => boolean {
  const { filterOn } = filter
  if (filterOn !== 'streamName' && filterOn !== 'eventType') {
    throw new InvalidOptionError('filter.filterOn', `'streamName' or 'eventType'`, filterOn)
  }
  const named: (record: EsdbRecord) => string =
    filterOn === 'streamName' ? ({ streamId }) => streamId : ({ type }) => type
  if ('regex' in filter) {
    const regex = compile(filter.regex)
    return (record) => regex.test(named(record))
  }
  const { prefixes } = filter
  if (
    !Array.isArray(prefixes) ||
    prefixes.length === 0 ||
    prefixes.some((prefix) => typeof prefix !== 'string')
  ) {
    throw new InvalidOptionError('filter', 'a regex, or prefixes: a non-empty array of strings', prefixes)
  }
  return (record) => prefixes.some((prefix) => named(record).startsWith(prefix))
}

function compile(regex: unknown): RegExp {
  const expected = 'a regular expression as JavaScript understands it'
  if (typeof regex !== 'string') throw new InvalidOptionError('filter.regex', expected, regex)
  try {
    return new RegExp(regex)
  } catch {
    throw new InvalidOptionError('filter.regex', expected, regex)
  }
}
