import { type Deferred, untilAborted } from '../kernel/deferred.ts'
import { CheckpointBusyError } from '../kernel/errors.ts'
import type {
  AuditEntry,
  AuditedLate,
  AuditFilter,
  ChangeLimits,
  ClosedLetters,
  Control,
  ControlFilter,
  ControlledUnit,
  DecideShards,
  Fulfilment,
  FulfilRequest,
  Gathering,
  OperatedState,
  StateChange,
  UnitChange,
} from '../ports/control.ts'
import { bySlots, isSameSlots } from '../ports/slot.ts'
import type { Tenure } from '../ports/tenures.ts'
import { type SlotRange, type Unit, unitKey, unitName } from '../ports/unit.ts'

/** Of a shard that is to meet others: how far it is to come, and until when that holds. */
export interface Bounded {
  readonly gathering: { readonly bound: string; readonly untilMs: number } | undefined
}

interface OperatedRow extends Omit<ControlledUnit, 'isRetryAsked' | 'bound'>, Bounded {
  readonly tenure: Tenure | undefined
}

/** `undefined` where it holds no more. */
export function boundOf({ gathering }: Bounded): string | undefined {
  return gathering !== undefined && Date.now() < gathering.untilMs ? gathering.bound : undefined
}

/** What was decided about late events of a unit. */
export interface NotedLate extends Pick<AuditEntry, 'operation' | 'who' | 'why'> {
  readonly before: AuditedLate
  readonly after: AuditedLate
}

export type Fulfilled = Extract<Fulfilment, { readonly to: OperatedState }>

interface ControlParts<Row, Tx> {
  readonly rows: Map<string, Row>
  /** Of the units at work: settles when that is over. */
  readonly busy: ReadonlyMap<string, Deferred>
  readonly letters: {
    isAsked(unit: Unit): boolean
    replay(unit: Unit, replayed: ClosedLetters): void
    reshard(version: Pick<Unit, 'projection' | 'version'>, slots: readonly SlotRange[]): void
  }
  /** There is no such unit any more. */
  readonly forgotten: (unit: Unit) => void
  /** Runs with the unit locked. */
  readonly locked: <T>(unit: Unit, work: (tx: Tx) => Promise<T>, signal: AbortSignal) => Promise<T>
  /** With what an advance keeps, where events were handled. */
  readonly moved: (row: Row, fulfilled: Fulfilled) => { readonly row: Row; readonly to: OperatedState }
}

/** What operators want, in the rows of a checkpoint store in memory. */
export class InMemoryControl<Row extends OperatedRow, Tx> implements Control<Tx> {
  readonly #parts: ControlParts<Row, Tx>
  readonly #rows: Map<string, Row>
  readonly #audit: AuditEntry[] = []

  constructor(parts: ControlParts<Row, Tx>) {
    this.#parts = parts
    this.#rows = parts.rows
  }

  async units(
    { source, projection, desired }: ControlFilter,
    signal: AbortSignal,
  ): Promise<readonly ControlledUnit[]> {
    signal.throwIfAborted()
    return [...this.#rows.values()]
      .filter((row) => source === undefined || row.source === source)
      .filter((row) => projection === undefined || row.unit.projection === projection)
      .filter((row) => desired === undefined || row.desired === desired)
      .map((row) => this.#controlled(row))
  }

  async change(
    unit: Unit,
    decide: (found: ControlledUnit | undefined) => UnitChange | undefined,
    limits: ChangeLimits,
  ): Promise<AuditEntry | undefined> {
    const key = unitKey(unit)
    await this.#untilIdle(unit, limits)
    const row = this.#rows.get(key)
    const change = decide(row && this.#controlled(row))
    if (row === undefined || change === undefined) return undefined
    if (!('ask' in change)) return this.#change(key, row, change)
    this.#rows.set(key, { ...row, asked: { ...change.ask, sinceMs: this.#now() } })
    return undefined
  }

  async reshard(
    { projection, version }: Pick<Unit, 'projection' | 'version'>,
    decide: DecideShards,
    limits: ChangeLimits,
  ): Promise<readonly AuditEntry[]> {
    const rows = (): Row[] =>
      [...this.#rows.values()]
        .filter(({ unit }) => unit.projection === projection && unit.version === version)
        .sort((a, b) => bySlots(a.unit.slots, b.unit.slots))
    for (
      let busy = rows();
      busy.length > 0;
      busy = rows().filter(({ unit }) => this.#parts.busy.has(unitKey(unit)))
    ) {
      for (const { unit } of busy) await this.#untilIdle(unit, limits)
    }
    const found = rows()
    const versions = [...this.#rows.values()]
      .filter(({ unit }) => unit.projection === projection)
      .map(({ unit }) => unit.version)
    const change = decide(
      found.map((row) => this.#controlled(row)),
      [...new Set(versions)],
    )
    if (change === undefined) return []
    if ('bounds' in change) {
      for (const row of found)
        this.#rows.set(unitKey(row.unit), { ...row, gathering: gatheringOf(row, change) })
      return []
    }
    const { slots, made, who, why } = change
    this.#parts.letters.reshard({ projection, version }, slots)
    const atMs = this.#now()
    const kept = found.filter(({ unit }) =>
      slots.some((range) => range.from === unit.slots.from && range.to === unit.slots.to),
    )
    for (const { unit } of found.filter((row) => !kept.includes(row))) {
      this.#rows.delete(unitKey(unit))
      this.#parts.forgotten(unit)
    }
    return made.map(({ slots: own, heirOf, to }) => {
      const heir = found.find(({ unit }) => unit.slots.from === heirOf.from)
      if (heir === undefined) throw new TypeError('a shard is made of one that is there')
      const unit = { projection, version, slots: own }
      this.#rows.set(unitKey(unit), {
        ...heir,
        ...stateOf(to),
        unit,
        tenure: undefined,
        gathering: undefined,
      })
      const of = { unit, source: heir.source, operation: 'reshard', who, why, atMs } as const
      return this.#keep({
        ...of,
        before: stateOf(heir),
        after: stateOf(to),
        request: undefined,
        refused: undefined,
      })
    })
  }

  async holdBounds(
    { projection, version }: Pick<Unit, 'projection' | 'version'>,
    forMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted()
    for (const [key, row] of this.#rows) {
      const bound = boundOf(row)
      if (row.unit.projection !== projection || row.unit.version !== version || bound === undefined) continue
      const gathering = forMs > 0 ? { bound, untilMs: Date.now() + forMs } : undefined
      this.#rows.set(key, { ...row, gathering })
    }
  }

  async fulfil(
    { unit, id, liveWithinMs, shardsWithinMs, session, signal }: FulfilRequest,
    work: (
      tx: Tx,
      found: ControlledUnit,
      live: ControlledUnit | undefined,
      others: readonly ControlledUnit[],
    ) => Promise<Fulfilment | undefined>,
  ): Promise<AuditEntry | undefined> {
    signal.throwIfAborted()
    const key = unitKey(unit)
    if (liveWithinMs !== undefined && !(await this.#isLiveIdle(unit, liveWithinMs, signal))) return undefined
    const live = liveWithinMs === undefined ? undefined : this.#liveBeside(unit)
    if (shardsWithinMs !== undefined && !(await this.#areIdle(unit, shardsWithinMs, signal))) return undefined
    const others = shardsWithinMs === undefined ? [] : this.#shardsBeside(unit)
    const row = this.#rows.get(key)
    if (row?.asked?.id !== id || this.#parts.busy.has(key)) return undefined
    if (session !== undefined && row.tenure?.session !== session) return undefined
    const { operation, who, why } = row.asked
    const own = (): Promise<Fulfilment | undefined> =>
      this.#parts.locked(
        unit,
        (tx) =>
          work(
            tx,
            this.#controlled(row),
            live && this.#controlled(live),
            others.map((other) => this.#controlled(other)),
          ),
        signal,
      )
    const withAll = [...(live === undefined ? [] : [live]), ...others].reduce(
      (inner, other) => () => this.#parts.locked(other.unit, inner, signal),
      own,
    )
    const fulfilled = await withAll()
    if (fulfilled === undefined) return undefined
    if ('to' in fulfilled && fulfilled.to.role === 'live' && live !== undefined) {
      this.#rows.set(unitKey(live.unit), { ...live, role: 'beside' })
    }
    const by = { operation, who, why, ends: { id, operation } }
    if ('refused' in fulfilled) return this.#change(key, row, { ...by, to: row }, fulfilled.refused)
    for (const { found, to, closes } of fulfilled.others ?? []) {
      const other = others.find((each) => unitKey(each.unit) === unitKey(found.unit))
      if (other !== undefined)
        this.#change(unitKey(other.unit), other, { ...by, to, ...(closes && { closes }) })
    }
    const moved = this.#parts.moved(row, fulfilled)
    const { closes } = fulfilled
    return this.#change(key, moved.row, { ...by, to: moved.to, ...(closes && { closes }) })
  }

  #liveBeside({ projection, version }: Unit): Row | undefined {
    return [...this.#rows.values()].find(
      ({ unit, role }) => unit.projection === projection && unit.version !== version && role === 'live',
    )
  }

  #shardsBeside({ projection, version, slots }: Unit): readonly Row[] {
    return [...this.#rows.values()]
      .filter((row) => row.unit.projection === projection && row.unit.version === version)
      .filter((row) => !isSameSlots(row.unit.slots, slots))
      .sort((a, b) => bySlots(a.unit.slots, b.unit.slots))
  }

  /** Whether all other shards are, at one moment. */
  async #areIdle(unit: Unit, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const busy = () => this.#shardsBeside(unit).filter((row) => this.#parts.busy.has(unitKey(row.unit)))
    try {
      for (let [first] = busy(); first !== undefined; [first] = busy()) {
        await this.#untilIdle(first.unit, { timeoutMs, signal })
      }
      return true
    } catch (error) {
      if (error instanceof CheckpointBusyError) return false
      throw error
    }
  }

  async #isLiveIdle(unit: Unit, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const live = this.#liveBeside(unit)
    if (live === undefined) return true
    try {
      await this.#untilIdle(live.unit, { timeoutMs, signal })
      return true
    } catch (error) {
      if (error instanceof CheckpointBusyError) return false
      throw error
    }
  }

  /** No two at the same time. */
  #now(): number {
    return Math.max(Date.now(), (this.#audit.at(-1)?.atMs ?? 0) + 1)
  }

  #change(
    key: string,
    row: Row,
    { operation, who, why, to, ends, closes }: StateChange,
    refused?: string,
  ): AuditEntry {
    const atMs = this.#now()
    const [before, after] = [stateOf(row), to && stateOf(to)]
    const isDecision = after !== undefined && (after.desired !== row.desired || after.role !== row.role)
    const decision = isDecision ? { who, why, sinceMs: atMs } : row.decision
    const answer = ends === undefined ? {} : { asked: undefined, answered: ends }
    if (after === undefined) {
      this.#rows.delete(key)
      this.#parts.forgotten(row.unit)
    } else {
      const isAnew = (isDecision && after.desired === 'running') || operation === 'rebuild'
      this.#rows.set(key, { ...row, ...after, decision, ...answer, ...(isAnew ? triedAnew(row) : {}) })
    }
    if (closes) this.#parts.letters.replay(row.unit, closes)
    const of = { unit: row.unit, source: row.source, operation, who, why, atMs }
    return this.#keep({ ...of, before, after, request: ends?.id, refused })
  }

  /** What is no change of its row. */
  note({ unit, source }: Pick<OperatedRow, 'unit' | 'source'>, { before, after, ...by }: NotedLate): void {
    const row = this.#rows.get(unitKey(unit))
    if (row === undefined) return
    const stateWith = (lateEvents: AuditedLate) => ({ ...stateOf(row), lateEvents })
    this.#keep({
      ...{ unit, source, ...by, atMs: this.#now(), request: undefined, refused: undefined },
      before: stateWith(before),
      after: stateWith(after),
    })
  }

  #keep(entry: Omit<AuditEntry, 'id'>): AuditEntry {
    const kept = { id: BigInt(this.#audit.length + 1), ...entry }
    this.#audit.push(kept)
    return kept
  }

  async audit(
    { projection, source, request, before, limit }: AuditFilter,
    signal: AbortSignal,
  ): Promise<readonly AuditEntry[]> {
    signal.throwIfAborted()
    return this.#audit
      .filter((entry) => projection === undefined || entry.unit.projection === projection)
      .filter((entry) => source === undefined || entry.source === source)
      .filter((entry) => request === undefined || entry.request === request)
      .filter((entry) => before === undefined || entry.id < before)
      .reverse()
      .slice(0, limit)
  }

  #controlled({
    unit,
    source,
    position,
    skipped,
    role,
    furthest,
    effects,
    gathering,
    desired,
    decision,
    asked,
    answered,
  }: Row): ControlledUnit {
    const isRetryAsked = this.#parts.letters.isAsked(unit)
    const bound = boundOf({ gathering })
    const stored = { unit, source, position, skipped, role, furthest, effects, bound }
    return { ...stored, desired, decision, isRetryAsked, asked, answered }
  }

  async #untilIdle(unit: Unit, { timeoutMs, signal }: ChangeLimits): Promise<void> {
    const tooLate = new AbortController()
    const timer = setTimeout(() => tooLate.abort(), timeoutMs)
    const over = AbortSignal.any([tooLate.signal, signal])
    try {
      for (;;) {
        signal.throwIfAborted()
        const work = this.#parts.busy.get(unitKey(unit))
        if (work === undefined) return
        if (tooLate.signal.aborted) {
          throw new CheckpointBusyError(unitName(unit), timeoutMs, 'the batch at hand')
        }
        await untilAborted(work.promise, over)
      }
    } finally {
      clearTimeout(timer)
    }
  }
}

function gatheringOf({ unit }: OperatedRow, { bounds, forMs }: Gathering): Bounded['gathering'] {
  const own = bounds.find(({ slots }) => isSameSlots(slots, unit.slots))
  return own && { bound: own.position, untilMs: Date.now() + forMs }
}

/** What ended the process is tried anew. */
function triedAnew({ tenure }: OperatedRow): Partial<OperatedRow> {
  if (tenure?.suspicion === undefined) return {}
  return { tenure: { ...tenure, suspicion: { ...tenure.suspicion, tries: 0 } } }
}

function stateOf({ role, desired, position, skipped, furthest }: OperatedState): OperatedState {
  return { role, desired, position, skipped, furthest }
}
