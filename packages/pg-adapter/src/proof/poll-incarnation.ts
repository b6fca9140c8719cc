import { IncarnationChangedError } from '@tidemark/core/adapter'
import { incarnationOf, type TableIdentity, tablePart } from '../server/incarnation.ts'
import type { InspectedPoll } from './inspected-poll.ts'

/** The incarnation that a poll with no known backend was taken in. */
export function nameIncarnation(polled: InspectedPoll): string {
  const { identity } = polled.poll
  if (identity === undefined) throw new TypeError('a poll with no known backend reads the identity')
  return incarnationOf(identity, tableIdentity(polled))
}

function tableIdentity({ inspection, sequence }: InspectedPoll): TableIdentity {
  return { tableOid: inspection.tableOid, sequenceOid: sequence.oid, sequenceFile: sequence.relfilenode }
}

/** The same backend is the same incarnation; on another one, all four facts are compared. */
export function requireSameIncarnation(expected: string, polled: InspectedPoll): void {
  const { sequence, poll } = polled
  const table = tableIdentity(polled)
  if (poll.identity === undefined) {
    // Only backends of the expected incarnation were called known.
    if (expected.endsWith(tablePart(table))) return
    throw new IncarnationChangedError(expected, `${sequence.name} (${Object.values(table).join('/')})`)
  }
  const found = incarnationOf(poll.identity, table)
  if (found !== expected) throw new IncarnationChangedError(expected, found)
}
