import type {
  LateDecision,
  LateEvent,
  LateEvents,
  LateFilter,
  LateOfUnit,
  LateRange,
  LateState,
  LateUnit,
  ListedLate,
  OpenedLate,
  OpenLate,
  PassedAs,
  RecordedLate,
  WatchedRun,
  WatchPage,
} from '../ports/late-events.ts'
import { haveSlotsInCommon } from '../ports/slot.ts'
import { type Unit, unitKey } from '../ports/unit.ts'
import type { NotedLate } from './in-memory-control.ts'
import { InMemorySkips, type SkippingRow } from './in-memory-skips.ts'

type Late = Omit<ListedLate, 'units'>
interface OfUnit extends LateOfUnit {
  readonly source: string
  readonly position: string
  readonly isAsked: boolean
}

/** Late events in memory, beside the ledger of skips. What an advance has closed is kept once it has moved the checkpoint. */
export class InMemoryLateEvents<Tx> implements LateEvents<Tx> {
  readonly skips: InMemorySkips
  readonly #rows: ReadonlyMap<string, SkippingRow>
  readonly #noted: (of: { readonly unit: Unit; readonly source: string }, noted: NotedLate) => void
  readonly #late: Late[] = []
  readonly #ofUnits = new Map<string, OfUnit>()
  /** Of each unit that an advance is at work on. */
  readonly #closing = new Map<string, OfUnit[]>()

  /** @param note - writes an audit entry */
  constructor(
    rows: ReadonlyMap<string, SkippingRow>,
    note: (of: { readonly unit: Unit; readonly source: string }, noted: NotedLate) => void,
  ) {
    this.#rows = rows
    this.#noted = note
    this.skips = new InMemorySkips(rows, (source) => this.#late.filter((late) => late.source === source))
  }

  begin(unit: Unit): void {
    this.#closing.set(unitKey(unit), [])
  }

  end(unit: Unit): void {
    this.#closing.delete(unitKey(unit))
  }

  /** The checkpoint has moved over these positions. */
  keep(unit: Unit, source: string, positions: readonly string[]): void {
    for (const closed of this.#closing.get(unitKey(unit)) ?? []) this.#put(closed)
    for (const position of positions.filter((passed) => this.skips.isPassed(source, passed))) {
      const known = this.#find(unit, source, position)
      if (known === undefined || known.state === 'open')
        this.#put(closed(known ?? opened(unit, source, position), 'in_order'))
    }
  }

  async watched(source: string, page: WatchPage, signal: AbortSignal): Promise<readonly WatchedRun[]> {
    signal.throwIfAborted()
    const { windowMs, after, limit } = page
    return this.skips.runs
      .map((run, index) => ({ run, index }))
      .filter(({ run }) => run.source === source && run.recordedAtMs > Date.now() - windowMs)
      .filter(({ index }) => index > Number(after?.cursor ?? -1))
      .slice(0, limit)
      .map(({ run: { stored, current }, index }) => ({
        from: String(BigInt(stored) + 1n),
        to: String(BigInt(current) - 1n),
        cursor: String(index),
      }))
  }

  async record(
    source: string,
    passed: PassedAs,
    events: readonly LateEvent[],
    signal: AbortSignal,
  ): Promise<readonly RecordedLate[]> {
    signal.throwIfAborted()
    const isKnown = (position: string): boolean =>
      this.#late.some((late) => late.source === source && late.position === position)
    return events
      .filter(({ position }) => !isKnown(position))
      .map(({ position, type }) => {
        const run = this.skips.runs.find(
          ({ source: of, stored, current }) =>
            of === source && BigInt(stored) < BigInt(position) && BigInt(position) < BigInt(current),
        )
        const foundAtMs = Date.now()
        this.#late.push({ source, position, type, passed, passedAtMs: run?.recordedAtMs, foundAtMs })
        return { position, type, afterMs: run && foundAtMs - run.recordedAtMs }
      })
  }

  async open(
    source: string,
    units: readonly LateUnit[],
    { withinMs }: { readonly withinMs: number | undefined },
    signal: AbortSignal,
  ): Promise<readonly OpenedLate[]> {
    signal.throwIfAborted()
    const recent = this.#late.filter(
      (late) => late.source === source && (withinMs === undefined || late.foundAtMs > Date.now() - withinMs),
    )
    return units
      .flatMap(({ unit, eventTypes }) => this.#storedOf(unit).map((stored) => ({ unit: stored, eventTypes })))
      .flatMap(({ unit, eventTypes }) =>
        recent
          .filter(({ position }) => this.#isMissed(unit, source, position))
          .filter(({ position, type }) => {
            const isWanted = eventTypes === undefined || type === undefined || eventTypes.includes(type)
            const fresh = opened(unit, source, position)
            this.#put(isWanted ? fresh : closed(fresh, 'not_wanted'))
            return isWanted
          })
          .map(({ position, type }) => ({ unit, position, type })),
      )
  }

  async counts(source: string, signal: AbortSignal): Promise<readonly OpenLate[]> {
    signal.throwIfAborted()
    const counts = new Map<string, OpenLate>()
    for (const { unit, isAsked } of this.#openOf(source)) {
      const known = counts.get(unitKey(unit)) ?? { unit, open: 0, asked: 0 }
      counts.set(unitKey(unit), { unit, open: known.open + 1, asked: known.asked + (isAsked ? 1 : 0) })
    }
    return [...counts.values()]
  }

  async due(
    unit: Unit,
    source: string,
    { isAsked, limit }: { readonly isAsked: boolean; readonly limit: number },
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    signal.throwIfAborted()
    return this.#openOf(source)
      .filter((late) => unitKey(late.unit) === unitKey(unit) && late.isAsked === isAsked)
      .map(({ position }) => position)
      .sort(byNumber)
      .slice(0, limit)
  }

  async close(
    _tx: Tx,
    unit: Unit,
    source: string,
    positions: readonly string[],
    as: LateState,
  ): Promise<readonly string[]> {
    const closing = this.#closing.get(unitKey(unit))
    if (closing === undefined)
      throw new TypeError('a late event is closed by the work of an advance of its unit')
    const found = this.#openOf(source).filter(
      (late) => unitKey(late.unit) === unitKey(unit) && positions.includes(late.position),
    )
    closing.push(...found.map((late) => closed(late, as)))
    return found.map(({ position }) => position)
  }

  async ofOthers(
    _tx: Tx,
    { projection, version }: Unit,
    source: string,
    positions: readonly string[],
  ): Promise<readonly string[]> {
    const isGiven = (position: string): boolean =>
      [...this.#ofUnits.values()].some(
        ({ unit, ...late }) =>
          unit.projection === projection &&
          unit.version !== version &&
          late.source === source &&
          late.position === position &&
          late.state !== 'open' &&
          late.state !== 'not_wanted',
      )
    return positions.filter(isGiven)
  }

  async failed(
    unit: Unit,
    source: string,
    positions: readonly string[],
    error: string,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted()
    for (const position of positions) {
      const known = this.#find(unit, source, position)
      if (known?.state === 'open') this.#put({ ...known, failures: known.failures + 1, error })
    }
  }

  async ask(range: LateRange, decision: LateDecision, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted()
    const meant = this.#openIn(range).filter(({ unit }) => this.#rows.get(unitKey(unit))?.role !== 'retired')
    this.#note('reprocess', range, decision, meant)
    for (const late of meant) if (!late.isAsked) this.#put({ ...late, decision, isAsked: true })
    return meant.length
  }

  async discard(range: LateRange, decision: LateDecision, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted()
    const meant = this.#openIn(range)
    this.#note('discard_late_events', range, decision, meant)
    for (const late of meant) this.#put({ ...closed(late, 'discarded'), decision })
    return meant.length
  }

  /** For each unit of which something is decided anew. */
  #note(
    operation: 'reprocess' | 'discard_late_events',
    { source, from, to }: LateRange,
    decision: LateDecision,
    meant: readonly OfUnit[],
  ): void {
    for (const [key, unit] of new Map(meant.map((late) => [unitKey(late.unit), late.unit]))) {
      const own = meant.filter((late) => unitKey(late.unit) === key)
      const [open, asked] = [own.length, own.filter(({ isAsked }) => isAsked).length]
      const left = operation === 'reprocess' ? open : 0
      if (operation === 'reprocess' && asked === open) continue
      const before = { from, to, open, asked }
      this.#noted(
        { unit, source },
        { operation, ...decision, before, after: { from, to, open: left, asked: left } },
      )
    }
  }

  async list(filter: LateFilter, limit: number, signal: AbortSignal): Promise<readonly ListedLate[]> {
    signal.throwIfAborted()
    const { source, projection, state, from, to } = filter
    return this.#late
      .filter((late) => source === undefined || late.source === source)
      .filter(({ position }) => from === undefined || BigInt(position) >= BigInt(from))
      .filter(({ position }) => to === undefined || BigInt(position) <= BigInt(to))
      .map((late) => ({
        ...late,
        units: this.#ofLate(late).filter(
          (of) =>
            (projection === undefined || of.unit.projection === projection) &&
            (state === undefined || of.state === state),
        ),
      }))
      .filter(({ units }) => (projection === undefined && state === undefined) || units.length > 0)
      .sort((a, b) => byNumber(b.position, a.position))
      .slice(0, limit)
  }

  #ofLate({ source, position }: Late): readonly LateOfUnit[] {
    return [...this.#rows.values()]
      .filter((row) => hasPassed(row, source, position))
      .map(({ unit }) => {
        const known = this.#find(unit, source, position) ?? opened(unit, source, position)
        const { state, decision, failures, error, closedAtMs } = known
        return { unit, state, decision, failures, error, closedAtMs }
      })
  }

  /** Those that have its slots now. */
  #storedOf({ projection, version, slots }: Unit): readonly Unit[] {
    return [...this.#rows.values()]
      .map(({ unit }) => unit)
      .filter(
        (stored) =>
          stored.projection === projection &&
          stored.version === version &&
          haveSlotsInCommon(stored.slots, slots),
      )
  }

  #isMissed(unit: Unit, source: string, position: string): boolean {
    const row = this.#rows.get(unitKey(unit))
    return row !== undefined && hasPassed(row, source, position) && !this.#find(unit, source, position)
  }

  #openOf(source: string): readonly OfUnit[] {
    return [...this.#ofUnits.values()].filter((late) => late.source === source && late.state === 'open')
  }

  #openIn({ source, projections, from, to }: LateRange): readonly OfUnit[] {
    return this.#late
      .filter((late) => late.source === source)
      .filter(({ position }) => BigInt(from) <= BigInt(position) && BigInt(position) <= BigInt(to))
      .flatMap(({ position }) =>
        [...this.#rows.values()]
          .filter((row) => hasPassed(row, source, position))
          .filter(({ unit }) => projections === undefined || projections.includes(unit.projection))
          .map(({ unit }) => this.#find(unit, source, position) ?? opened(unit, source, position)),
      )
      .filter(({ state }) => state === 'open')
  }

  #find(unit: Unit, source: string, position: string): OfUnit | undefined {
    return this.#ofUnits.get(keyOf(unit, source, position))
  }

  #put(late: OfUnit): void {
    this.#ofUnits.set(keyOf(late.unit, late.source, late.position), late)
  }
}

function opened(unit: Unit, source: string, position: string): OfUnit {
  const untouched = {
    decision: undefined,
    failures: 0,
    error: undefined,
    closedAtMs: undefined,
    isAsked: false,
  }
  return { unit, source, position, state: 'open', ...untouched }
}

function closed(late: OfUnit, state: LateState): OfUnit {
  return { ...late, state, closedAtMs: Date.now() }
}

function hasPassed(row: SkippingRow, source: string, position: string): boolean {
  return row.source === source && row.position !== undefined && BigInt(row.position) >= BigInt(position)
}

const keyOf = (unit: Unit, source: string, position: string): string =>
  `${position}/${unitKey(unit)}/${source}`

function byNumber(a: string, b: string): number {
  return BigInt(a) < BigInt(b) ? -1 : 1
}
