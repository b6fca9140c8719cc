import { nextInAll } from '../all-reads.ts'
import { isShown } from '../filters.ts'
import type { Log, LogRecord } from '../log.ts'
import type { LogPosition } from '../log-position.ts'
import { nextInStream, streamState } from '../stream-reads.ts'
import type { Settings } from './settings.ts'

/**
 * Where a group's events come from: a stream or `$all`. Its places are log positions; of a stream, the revision is
 * both numbers.
 */
export interface Source {
  /** Whether this event is one of the source's, before the filter. */
  has(record: LogRecord): boolean
  placeOf(record: LogRecord): LogPosition
  /** The first event behind this place. */
  next(after: LogPosition): LogRecord | undefined
  /** As the server prints it in its answers and keeps it in the checkpoint stream. */
  format(place: LogPosition): string
  parse(text: string): LogPosition
}

export const NOWHERE: LogPosition = { commit: -1n, prepare: -1n }

/** PersistentSubscriptionSingleStreamEventSource.cs and PersistentSubscriptionAllStreamEventSource.cs */
export function sourceOf(log: Log, { source }: Settings): Source {
  return source === '$all' ? allSource(log) : streamSource(log, source)
}

function streamSource(log: Log, name: string): Source {
  return {
    has: (record) => record.stream === name,
    placeOf: ({ revision }) => ({ commit: revision, prepare: revision }),
    next: ({ commit }) => {
      const stream = log.stream(name)
      if (stream === undefined || streamState(log, name) !== 'readable') return undefined
      return nextInStream(log, stream, commit + 1n)
    },
    format: ({ commit }) => String(commit),
    parse: (text) => ({ commit: BigInt(text), prepare: BigInt(text) }),
  }
}

function allSource(log: Log): Source {
  return {
    has: isShown,
    placeOf: ({ commit, prepare }) => ({ commit, prepare }),
    next: (after) => {
      let record = nextInAll(log, after)
      while (record && !isShown(record)) record = nextInAll(log, record)
      return record
    },
    format: ({ commit, prepare }) => `C:${commit}/P:${prepare}`,
    parse: (text) => {
      const [, commit = '0', prepare = '0'] = /^C:(-?\d+)\/P:(-?\d+)$/.exec(text) ?? []
      return { commit: BigInt(commit), prepare: BigInt(prepare) }
    },
  }
}
