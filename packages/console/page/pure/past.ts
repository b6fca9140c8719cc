import type { HistoryAnswer, Mark, Overview } from '../../src/protocol.ts'
import { type GapSeen, trackGaps } from './gaps.ts'
import { type History, seen } from './history.ts'

/** What was seen lately of a mark. */
export interface MarkPast {
  readonly head: History
  readonly settled: History
  readonly mark: History
  readonly gaps: readonly GapSeen[]
}

/** What was seen lately of everything: of marks by their source, of projections by their name. */
export interface Past {
  readonly marks: ReadonlyMap<string, MarkPast>
  /** How far each was behind. */
  readonly behind: ReadonlyMap<string, History>
}

export const EMPTY_PAST: MarkPast = { head: [], settled: [], mark: [], gaps: [] }

/**
 * What the server remembers, with the gaps that this page has seen; of a server that was just started, what this page remembers. Pure,
 * as all that follow.
 */
export function pastOf(answer: HistoryAnswer | undefined, before?: Past): Past {
  if (answer === undefined) return before ?? { marks: new Map(), behind: new Map() }
  const samples = (values: readonly (string | number | null)[]): History =>
    answer.atMs.flatMap((atMs, n) => {
      const value = numberOf(values[n] ?? null)
      return value === undefined ? [] : [{ atMs, value }]
    })
  const longer = (told: History, known: History = []): History => (told.length >= known.length ? told : known)
  const marks = answer.marks.map(({ source, head, settled, mark }): [string, MarkPast] => {
    const known = before?.marks.get(source)
    return [
      source,
      {
        head: longer(samples(head), known?.head),
        settled: longer(samples(settled), known?.settled),
        mark: longer(samples(mark), known?.mark),
        gaps: known?.gaps ?? [],
      },
    ]
  })
  const behind = answer.projections.map(({ name, behind }): [string, History] => [
    name,
    longer(samples(behind), before?.behind.get(name)),
  ])
  return {
    marks: new Map([...(before?.marks ?? []), ...marks]),
    behind: new Map([...(before?.behind ?? []), ...behind]),
  }
}

/** Of what is not there any more, nothing is kept. */
export function withOverview(past: Past, { atMs, marks, projections }: Overview): Past {
  return {
    marks: new Map(marks.map((mark) => [mark.source, withMark(past.marks.get(mark.source), mark, atMs)])),
    behind: new Map(
      projections.map(({ name, behind }) => [name, withValue(past.behind.get(name) ?? [], atMs, behind)]),
    ),
  }
}

function withMark(before: MarkPast = EMPTY_PAST, mark: Mark, atMs: number): MarkPast {
  return {
    head: withValue(before.head, atMs, mark.head),
    settled: withValue(before.settled, atMs, mark.settled),
    mark: withValue(before.mark, atMs, mark.mark),
    gaps: trackGaps(before.gaps, mark, atMs),
  }
}

function withValue(history: History, atMs: number, text: string | null): History {
  const value = numberOf(text)
  return value === undefined ? history : seen(history, { atMs, value })
}

function numberOf(value: string | number | null): number | undefined {
  if (typeof value === 'number') return value
  return value !== null && /^\d+$/.test(value) ? Number(value) : undefined
}
