import { type Decision, decide } from './expected-revision.ts'
import { DELETED, type Log, type LogRecord, type NewEvent, systemEvent } from './log.ts'
import {
  isMetastream,
  isSoftDeleted,
  metastreamOf,
  originalStreamOf,
  withTruncateBefore,
} from './stream-metadata.ts'

export type Written =
  | {
      readonly outcome: 'written'
      readonly revision: bigint
      readonly record: LogRecord | undefined
      /** How many events are new: none, of those that were written before. */
      readonly count: number
    }
  | Exclude<Decision, { outcome: 'write' | 'already written' }>

/** Writes events if the stream is where the client expects it (StorageWriterService.cs, WriteEvents). */
export function writeEvents(log: Log, name: string, expected: bigint, events: readonly NewEvent[]): Written {
  const decision = decide(log, name, expected, events)
  switch (decision.outcome) {
    case 'write': {
      const wasDeleted = isSoftDeleted(log, name)
      const firstNew = log.lastRevision(name) + 1n
      const ownsDeleted = isMetastream(name) && isSoftDeleted(log, originalStreamOf(name))
      const written = log.append(name, events)
      if (wasDeleted) reopen(log, name, firstNew)
      if (ownsDeleted) reopen(log, originalStreamOf(name), log.lastRevision(originalStreamOf(name)) + 1n)
      return {
        outcome: 'written',
        revision: log.lastRevision(name),
        record: written.at(-1),
        count: events.length,
      }
    }
    case 'already written': {
      const record = log.stream(name)?.records.find(({ revision }) => revision === decision.last)
      return { outcome: 'written', revision: decision.last, record, count: 0 }
    }
    default:
      return decision
  }
}

/** A deleted stream that is written to goes on behind what it had (StorageWriterService.SoftUndeleteStream). */
function reopen(log: Log, name: string, first: bigint): void {
  const metadata = withTruncateBefore(log, name, first)
  log.append(metastreamOf(name), [{ ...systemEvent('$metadata', metadata), isJson: true }])
}

/**
 * Deletes a stream: for good with a tombstone, or by its metadata (StorageWriterService.cs, WriteDelete). One that has
 * never been cannot be deleted otherwise than for good.
 */
export function deleteStream(log: Log, name: string, expected: bigint, forGood: boolean): Written {
  const decision = decide(log, name, expected, [systemEvent('', '')])
  if (decision.outcome !== 'write' && decision.outcome !== 'already written') return decision
  if (!forGood && log.lastRevision(name) < 0n && log.stream(metastreamOf(name)) === undefined) {
    return { outcome: 'wrong expected version', actual: -1n }
  }
  const record = forGood ? log.tombstone(name) : softDelete(log, name)
  return { outcome: 'written', revision: log.lastRevision(name), record, count: 0 }
}

function softDelete(log: Log, name: string): LogRecord | undefined {
  const metadata = { ...systemEvent('$metadata', `{"$tb":${DELETED}}`), isJson: true }
  return log.append(metastreamOf(name), [metadata])[0]
}
