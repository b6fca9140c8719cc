import type { Log, NewEvent } from './log.ts'
import { isSoftDeleted, metastreamOf } from './stream-metadata.ts'

// ExpectedVersion.cs
export const NO_STREAM = -1n
export const ANY = -2n
export const STREAM_EXISTS = -4n

/** What the four requests that carry an expected revision have in common. */
export interface WithExpectedRevision {
  hasNoStream(): boolean
  hasAny(): boolean
  hasStreamExists(): boolean
  getRevision(): string
}

export function expectedRevision(options: WithExpectedRevision): bigint {
  if (options.hasNoStream()) return NO_STREAM
  if (options.hasAny()) return ANY
  if (options.hasStreamExists()) return STREAM_EXISTS
  return BigInt(options.getRevision())
}

export type Decision =
  | { readonly outcome: 'write' }
  | { readonly outcome: 'already written'; readonly last: bigint }
  | { readonly outcome: 'wrong expected version'; readonly actual: bigint }
  | { readonly outcome: 'stream deleted' }

/**
 * IndexWriter.CheckCommit, with its idempotence: events that were written before, found by their ids, are no conflict.
 * Some of them written and some not is one.
 */
export function decide(log: Log, name: string, expected: bigint, events: readonly NewEvent[]): Decision {
  const stream = log.stream(name)
  if (stream?.tombstoned) return { outcome: 'stream deleted' }
  const actual = log.lastRevision(name)
  const wrong: Decision = { outcome: 'wrong expected version', actual }
  const isAny = expected === ANY || expected === STREAM_EXISTS
  if (
    expected === STREAM_EXISTS &&
    (isSoftDeleted(log, name) || (actual < 0n && !log.stream(metastreamOf(name))))
  ) {
    return wrong
  }
  if (expected === actual) return { outcome: 'write' }
  if (!isAny && expected > actual) return wrong
  const revisions = events.map(({ id }) => stream?.revisions.get(id))
  const written = revisions.filter((revision, i) =>
    isAny ? revision !== undefined : revision === expected + BigInt(i) + 1n,
  )
  const last = revisions.at(-1)
  if (last !== undefined && written.length === events.length) return { outcome: 'already written', last }
  if (written.length > 0) return wrong
  // Whoever expects no stream may begin a deleted one anew.
  return isAny || (expected === NO_STREAM && isSoftDeleted(log, name)) ? { outcome: 'write' } : wrong
}
