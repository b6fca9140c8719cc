import { isShown } from './filters.ts'
import type { Log, LogRecord } from './log.ts'
import { comparePositions, type LogPosition } from './log-position.ts'

export const START_OF_LOG: LogPosition = { commit: 0n, prepare: 0n }

/**
 * Whether the log can be read from here: a record must begin at the commit position, or the log end before it
 * (StorageReaderWorker.All.cs: otherwise "The read appears to be at an invalid position").
 */
export function isReadable(log: Log, { commit }: LogPosition): boolean {
  const index = log.indexOf({ commit, prepare: 0n })
  const next = log.records[index]
  if (next === undefined || next.commit === commit) return true
  const previous = log.records[index - 1]
  return previous === undefined || previous.end.commit === commit || previous.end.prepare === commit
}

export interface Page {
  readonly records: readonly LogRecord[]
  /** How many were looked at, the ones that do not match included. */
  readonly considered: number
  /** Where the next page begins. */
  readonly next: LogPosition
  readonly isEnd: boolean
}

/** Oldest first, the record at `from` included (AllReader.ReadAllEventsForwardInternal). */
export function readPage(
  log: Log,
  from: LogPosition,
  matches: (record: LogRecord) => boolean,
  limits: { readonly matching: number; readonly considered: number },
): Page {
  const records: LogRecord[] = []
  let next = from
  let considered = 0
  let isEnd = false
  for (
    let index = log.indexOf(from);
    records.length < limits.matching && considered < limits.considered;
    index++
  ) {
    const record = log.records[index]
    if (record === undefined) {
      isEnd = true
      break
    }
    if (record.scavenged) continue
    considered++
    if (matches(record)) records.push(record)
    // Behind the record; within an explicit transaction still before its commit.
    next =
      record.commit === record.prepare
        ? { commit: record.end.commit, prepare: 0n }
        : { commit: record.commit, prepare: record.end.prepare }
  }
  return { records, considered, next, isEnd }
}

/** Oldest first, the record at `from` included. */
export function* forwards(log: Log, from: LogPosition): Generator<LogRecord> {
  for (let i = log.indexOf(from); i < log.records.length; i++) {
    const record = log.records[i]
    if (record && isShown(record)) yield record
  }
}

/**
 * Newest first, what ends at or before `from` (AllReader.ReadAllEventsBackwardInternal). Of an explicit transaction
 * that is all or nothing: from the position of one of its events none of them is read.
 */
export function* backwards(log: Log, from: LogPosition): Generator<LogRecord> {
  for (let i = log.indexOf(from) - 1; i >= 0; i--) {
    const record = log.records[i]
    if (record && isShown(record) && comparePositions(record.end, from) <= 0) yield record
  }
}

/** The next record behind this position, scavenged or not. */
export function nextInAll(log: Log, after: LogPosition): LogRecord | undefined {
  const index = log.indexOf(after)
  const record = log.records[index]
  return record && comparePositions(record, after) === 0 ? log.records[index + 1] : record
}
