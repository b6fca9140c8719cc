import type { LossTotal, OpenLate } from '@tidemark/core/adapter'
import type { ListedUnit, OpenLetters } from '@tidemark/core/operations'
import { eventsOf, isNumbered } from './events-of.ts'
import { type Mark, readMark } from './mark.ts'
import { messageOf } from './message-of.ts'
import { nodesBySource, type SourceNodes } from './nodes.ts'
import type { StatusReader } from './reader.ts'

/** What the database says of everything, at about one moment. */
export interface Snapshot {
  readonly atMs: number
  readonly units: readonly ListedUnit[]
  readonly sources: readonly SourceSnapshot[]
  readonly letters: readonly OpenLetters[]
  /** Parts that this role may not read. */
  readonly hidden: readonly string[]
}

export interface SourceSnapshot {
  readonly source: string
  readonly mark: Mark | undefined
  /** Why there is no mark. */
  readonly unknown: string | undefined
  readonly late: readonly OpenLate[]
  readonly lost: readonly LossTotal[]
  readonly nodes: SourceNodes | undefined
}

export async function readSnapshot(reader: StatusReader): Promise<Snapshot> {
  const { operations, checkpoints, signal } = reader
  const hidden: string[] = []
  /** Parts that operators need no right to. */
  const ifShown = async <T>(what: string, read: () => Promise<T>, without: T): Promise<T> => {
    try {
      return await read()
    } catch (error) {
      if (!isForbidden(error)) throw error
      if (!hidden.includes(what)) hidden.push(what)
      return without
    }
  }
  const units = await operations.list()
  const letters = await ifShown('dead letters', () => operations.deadLetters.counts(), [])
  const nodes = nodesBySource(await ifShown('nodes', () => operations.nodes.list(), []), units)
  const names = [...new Set(units.map(({ source }) => source))].toSorted()
  const sources: SourceSnapshot[] = []
  for (const source of names) {
    const { lateEvents, lostEvents } = checkpoints
    sources.push({
      source,
      ...(await markOf(reader, source, names, units)),
      late: await ifShown('late events', async () => (await lateEvents?.counts(source, signal)) ?? [], []),
      lost: await ifShown('lost events', async () => (await lostEvents?.totals(source, signal)) ?? [], []),
      nodes: nodes.find((each) => each.source === source),
    })
  }
  return { atMs: Date.now(), units, sources, letters, hidden }
}

async function markOf(
  reader: StatusReader,
  source: string,
  names: readonly string[],
  units: readonly ListedUnit[],
): Promise<Pick<SourceSnapshot, 'mark' | 'unknown'>> {
  if (!isNumbered(units.filter((unit) => unit.source === source))) {
    return { mark: undefined, unknown: 'its positions are no numbers of a Postgres table' }
  }
  const events = eventsOf(reader.events, source, names)
  if (events === undefined) {
    return {
      mark: undefined,
      unknown:
        'its name tells no table: name it by --table, in tidemark.config.js, or in the option events of the console',
    }
  }
  try {
    return { mark: await readMark(reader, events), unknown: undefined }
  } catch (error) {
    reader.signal.throwIfAborted()
    return { mark: undefined, unknown: messageOf(error) }
  }
}

/** insufficient_privilege, as the server has said it, or as it was explained. */
function isForbidden(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && at.code === '42501') return true
  }
  return false
}
