import { versionName } from '@tidemark/core/adapter'
import type { HistoryAnswer } from '../protocol.ts'
import type { Snapshot } from '../status/snapshot.ts'
import type { Status } from '../status/status.ts'
import { textOf } from './wire.ts'

const KEPT_MS = 10 * 60_000
/** Of a rate: long enough for more than one batch. */
const RATE_MS = 30_000
/** Of the lines on the page. */
const MOST_SHOWN = 120

interface MarkSample {
  readonly head: bigint | undefined
  readonly settled: bigint | undefined
  readonly mark: bigint | undefined
  readonly gaps: number
}

interface RowSample {
  readonly position: string | null
  readonly behind: bigint | null
}

interface Sample {
  readonly atMs: number
  readonly marks: ReadonlyMap<string, MarkSample>
  readonly rows: ReadonlyMap<string, RowSample>
}

/** The looks of the last ten minutes, while anybody looked. */
export class History {
  #samples: readonly Sample[] = []

  add(snapshot: Snapshot, status: Status): void {
    const { atMs } = snapshot
    const marks = new Map(
      snapshot.sources.flatMap(({ source, mark }): [string, MarkSample][] =>
        mark === undefined
          ? []
          : [[source, { head: mark.head, settled: mark.settled, mark: mark.mark, gaps: mark.gaps.length }]],
      ),
    )
    const rows = new Map(
      status.projections.map((row): [string, RowSample] => [
        versionName(row),
        { position: row.position, behind: row.behind },
      ]),
    )
    const kept = this.#samples.filter((sample) => sample.atMs > atMs - KEPT_MS && sample.atMs < atMs)
    this.#samples = [...kept, { atMs, marks, rows }]
  }

  /** Positions a second of a version, over the newest looks; `undefined`: not known. */
  rateOf(name: string): number | undefined {
    const last = this.#samples.at(-1)
    const first = this.#samples.find(
      ({ atMs, rows }) => rows.has(name) && atMs >= (last?.atMs ?? 0) - RATE_MS,
    )
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined
    const [from, to] = [first, last].map(({ rows }) => positionOf(rows.get(name)))
    if (from === undefined || to === undefined) return undefined
    return Math.max(0, Number(to - from)) / ((last.atMs - first.atMs) / 1_000)
  }

  answer(): HistoryAnswer {
    const every = Math.max(1, Math.ceil(this.#samples.length / MOST_SHOWN))
    const last = this.#samples.length - 1
    const shown = this.#samples.filter((_, n) => (last - n) % every === 0)
    const newest = shown.at(-1)
    return {
      atMs: shown.map(({ atMs }) => atMs),
      marks: [...(newest?.marks.keys() ?? [])].map((source) => {
        const of = shown.map(({ marks }) => marks.get(source))
        return {
          source,
          head: of.map((mark) => textOf(mark?.head)),
          settled: of.map((mark) => textOf(mark?.settled)),
          mark: of.map((mark) => textOf(mark?.mark)),
          gaps: of.map((mark) => mark?.gaps ?? null),
        }
      }),
      projections: [...(newest?.rows.keys() ?? [])].map((name) => ({
        name,
        behind: shown.map(({ rows }) => {
          const behind = rows.get(name)?.behind
          return behind === undefined || behind === null ? null : Number(behind)
        }),
      })),
    }
  }
}

function positionOf(row: RowSample | undefined): bigint | undefined {
  if (row === undefined) return undefined
  if (row.position === null) return 0n
  return /^\d+$/.test(row.position) ? BigInt(row.position) : undefined
}
