import { setTimeout as sleep } from 'node:timers/promises'
import { createHighWaterAgent, type Gap, type HighWaterReading, type ProgressMemory } from '@tidemark/core'
import { type ExaminedHolder, examineHolders, watchedPostgresEvents } from '@tidemark/pg-adapter'
import type { EventsConfig, SeenHolders, StatusReader } from './reader.ts'

/** As `staleAfterMs` of a daemon: a transaction that is open for less is nothing to be told. */
export const STALE_AFTER_MS = 3_000

export interface MarkHolder extends ExaminedHolder {
  /** The server does not show its age to this role: it was seen for that long. */
  readonly isAgeLeast: boolean
}

/** The mark of a source, as one or two polls have found it. */
export interface Mark {
  readonly source: string
  readonly table: string
  /** Whether gaps can be proven empty; not where numbers are taken ahead. */
  readonly isProven: boolean
  readonly head: bigint | undefined
  readonly settled: bigint | undefined
  readonly mark: bigint | undefined
  readonly gaps: readonly Gap<bigint>[]
  readonly holders: readonly MarkHolder[]
  /** SQL that shows more of the holders. */
  readonly lookCloser: string | undefined
}

/** Polls, and writes nothing. Rejects where the table cannot be polled. */
export async function readMark(reader: StatusReader, events: EventsConfig): Promise<Mark> {
  const { pool, queryTimeoutMs, signal } = reader
  const source = watchedPostgresEvents({ ...events, pool, queryTimeoutMs })
  const agent = createHighWaterAgent({ source, checkpoints: rememberedBy(reader) })
  try {
    await agent.start({ signal })
    const { error } = agent.status()
    if (error !== undefined) throw error
    let reading = agent.reading
    // The first poll has nothing but what is stored to go on from.
    if (reading !== undefined && !isSettled(reading)) reading = await agent.freshReading({ signal })
    if (reading === undefined) throw new Error('the poll has told nothing')
    let holders = await examined(reader, reading)
    if (reader.seen !== undefined) {
      holders = agedBySight(holders, reader.seen, source.name)
    } else if (holders.some(({ openForMs }) => openForMs === undefined)) {
      const first = holders
      // Whoever is there after that time is old enough.
      await sleep(STALE_AFTER_MS, undefined, { signal })
      reading = await agent.freshReading({ signal })
      holders = (await examined(reader, reading)).map((holder) => aged(holder, first))
    }
    const { head, settled, mark, gaps } = reading
    return {
      source: source.name,
      table: events.table,
      isProven: source.passesUnproven !== true && events.numbers !== 'taken-ahead',
      head,
      settled,
      mark,
      gaps,
      holders,
      lookCloser: holders.length === 0 ? undefined : source.lookCloser?.(reading.holders),
    }
  } finally {
    await agent.stop()
  }
}

async function examined(
  { pool, queryTimeoutMs, signal }: StatusReader,
  { holders }: HighWaterReading<bigint>,
): Promise<readonly MarkHolder[]> {
  const found = await examineHolders({ pool, holders, queryTimeoutMs, signal })
  return found.map((holder) => ({ ...holder, isAgeLeast: false }))
}

function aged(holder: MarkHolder, earlier: readonly MarkHolder[]): MarkHolder {
  if (holder.openForMs !== undefined) return holder
  const isSame = earlier.some(({ transaction }) => transaction === holder.transaction)
  return { ...holder, openForMs: isSame ? STALE_AFTER_MS : 0, isAgeLeast: true }
}

/** Whoever is not there any more is forgotten. */
function agedBySight(
  holders: readonly MarkHolder[],
  seen: SeenHolders,
  source: string,
): readonly MarkHolder[] {
  const nowMs = performance.now()
  const before = seen.get(source)
  const now = new Map(holders.map(({ transaction: of }) => [of, before?.get(of) ?? nowMs]))
  seen.set(source, now)
  return holders.map((holder) => {
    if (holder.openForMs !== undefined) return holder
    return { ...holder, openForMs: nowMs - (now.get(holder.transaction) ?? nowMs), isAgeLeast: true }
  })
}

const isSettled = ({ head, settled }: HighWaterReading<bigint>): boolean =>
  head === undefined || (settled !== undefined && head <= settled)

/** What daemons have stored is read, so that the poll goes on from there. Nothing is stored. */
function rememberedBy({ checkpoints }: StatusReader): ProgressMemory {
  return {
    name: checkpoints.name,
    progress: async (source, signal) => {
      try {
        return await checkpoints.progress(source, signal)
      } catch (error) {
        if (signal.aborted || checkpoints.isTransient(error)) throw error
        // Without tables, or the right to read them, everything is proven anew.
        return []
      }
    },
    sharesLogWith: (incarnation, signal) => checkpoints.sharesLogWith(incarnation, signal),
    toDecide: (source) => checkpoints.toDecide?.(source) ?? '',
    isTransient: (error) => checkpoints.isTransient(error),
  }
}
