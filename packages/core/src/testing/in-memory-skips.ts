import type { CrossedRun } from '../ports/checkpoint-store.ts'
import type { SkippedRun } from '../ports/event-source.ts'
import type { LateEvent } from '../ports/late-events.ts'
import type { RecordedRun, SkipFilter, SkipLedger } from '../ports/skip-ledger.ts'
import type { Role, SkipReason, StoredUnit } from '../ports/stored-unit.ts'

interface StoredRun extends SkippedRun<string> {
  readonly source: string
  readonly recordedAtMs: number
}

export interface SkippingRow extends StoredUnit {
  readonly startedAtHead: string | undefined
  readonly role: Role
}

const MOST_LATE = 100

/** The ledger of skips in memory. Positions are integers. */
export class InMemorySkips implements SkipLedger {
  readonly runs: StoredRun[] = []
  readonly #rows: ReadonlyMap<string, SkippingRow>
  readonly #lateIn: (source: string) => readonly LateEvent[]

  constructor(rows: ReadonlyMap<string, SkippingRow>, lateIn: (source: string) => readonly LateEvent[]) {
    this.#rows = rows
    this.#lateIn = lateIn
  }

  async record(source: string, runs: readonly SkippedRun<string>[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const last = this.#of(source).at(-1)?.current
    const fresh = runs.flatMap((run) => partAbove(run, last) ?? [])
    this.runs.push(...fresh.map((run) => ({ ...run, source, recordedAtMs: Date.now() })))
  }

  async list(filter: SkipFilter, limit: number, signal: AbortSignal): Promise<readonly RecordedRun[]> {
    signal.throwIfAborted()
    const { source, projection, from, to } = filter
    return this.runs
      .map((run) => this.#listed(run))
      .filter((run) => source === undefined || run.source === source)
      .filter(
        ({ passedBy }) =>
          projection === undefined || passedBy.some(({ unit }) => unit.projection === projection),
      )
      .filter((run) => from === undefined || BigInt(run.to) >= BigInt(from))
      .filter((run) => to === undefined || BigInt(run.from) <= BigInt(to))
      .reverse()
      .slice(0, limit)
  }

  /** The runs that an advance crosses. */
  crossed(
    source: string,
    from: string | undefined,
    to: string,
    startedAtHead: string | undefined,
  ): CrossedRun[] {
    return this.#of(source)
      .filter(
        ({ current }) =>
          (from === undefined || BigInt(current) > BigInt(from)) && BigInt(current) <= BigInt(to),
      )
      .map(({ stored, current, count }) => {
        const reason = reasonOf(current, startedAtHead)
        return { stored, current, count, reason }
      })
  }

  isPassed(source: string, position: string): boolean {
    return this.#of(source).some((run) => isIn(run, position))
  }

  #of(source: string): readonly StoredRun[] {
    return this.runs.filter((run) => run.source === source)
  }

  #listed(run: StoredRun): RecordedRun {
    const { source, current, stored, count, recordedAtMs, heldBy } = run
    const passing = [...this.#rows.values()].filter(
      (row) => row.source === source && row.position !== undefined && BigInt(row.position) >= BigInt(current),
    )
    return {
      source,
      from: String(BigInt(stored) + 1n),
      to: String(BigInt(current) - 1n),
      count,
      recordedAtMs,
      heldBy,
      passedBy: passing.map(({ unit, startedAtHead }) => ({
        unit,
        reason: reasonOf(current, startedAtHead),
      })),
      late: this.#lateIn(source)
        .filter(({ position }) => isIn(run, position))
        .slice(0, MOST_LATE),
    }
  }
}

function isIn({ stored, current }: Pick<StoredRun, 'stored' | 'current'>, position: string): boolean {
  return BigInt(stored) < BigInt(position) && BigInt(position) < BigInt(current)
}

function partAbove(run: SkippedRun<string>, passed: string | undefined): SkippedRun<string> | undefined {
  if (passed === undefined || BigInt(run.stored) >= BigInt(passed)) return run
  const count = BigInt(run.current) - BigInt(passed) - 1n
  return count > 0n ? { ...run, stored: passed, count } : undefined
}

function reasonOf(
  current: string,
  startedAtHead: string | undefined,
): Extract<SkipReason, 'historical_gap' | 'stale_high_water_mark'> {
  return startedAtHead !== undefined && BigInt(current) <= BigInt(startedAtHead)
    ? 'historical_gap'
    : 'stale_high_water_mark'
}
