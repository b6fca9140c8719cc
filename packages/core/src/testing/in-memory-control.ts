import { type Deferred, untilAborted } from '../kernel/deferred.ts'
import { CheckpointBusyError } from '../kernel/errors.ts'
import type {
  AuditEntry,
  AuditFilter,
  ChangeLimits,
  Control,
  ControlFilter,
  ControlledUnit,
  OperatedState,
  UnitChange,
} from '../ports/control.ts'
import type { Tenure } from '../ports/tenures.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'

interface OperatedRow extends Omit<ControlledUnit, 'isRetryAsked'> {
  readonly tenure: Tenure | undefined
}

/** What operators want, in the rows of a checkpoint store in memory. */
export class InMemoryControl<Row extends OperatedRow> implements Control {
  readonly #rows: Map<string, Row>
  /** Of the units at work: settles when that is over. */
  readonly #busy: ReadonlyMap<string, Deferred>
  readonly #letters: { isAsked(unit: Unit): boolean }
  readonly #audit: AuditEntry[] = []

  constructor(
    rows: Map<string, Row>,
    busy: ReadonlyMap<string, Deferred>,
    letters: { isAsked(unit: Unit): boolean },
  ) {
    this.#rows = rows
    this.#busy = busy
    this.#letters = letters
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
    const { operation, who, why, to } = change
    // No two at the same time.
    const atMs = Math.max(Date.now(), (this.#audit.at(-1)?.atMs ?? 0) + 1)
    const isDecision = to !== undefined && (to.desired !== row.desired || to.role !== row.role)
    const decision = isDecision ? { who, why, sinceMs: atMs } : row.decision
    if (to === undefined) this.#rows.delete(key)
    else
      this.#rows.set(key, {
        ...row,
        ...to,
        decision,
        ...(isDecision && to.desired === 'running' ? triedAnew(row) : {}),
      })
    const [before, after] = [stateOf(row), to && stateOf(to)]
    const id = BigInt(this.#audit.length + 1)
    const entry = { id, unit, source: row.source, operation, who, why, atMs, before, after }
    this.#audit.push(entry)
    return entry
  }

  async audit(
    { projection, source, before, limit }: AuditFilter,
    signal: AbortSignal,
  ): Promise<readonly AuditEntry[]> {
    signal.throwIfAborted()
    return this.#audit
      .filter((entry) => projection === undefined || entry.unit.projection === projection)
      .filter((entry) => source === undefined || entry.source === source)
      .filter((entry) => before === undefined || entry.id < before)
      .reverse()
      .slice(0, limit)
  }

  #controlled({ unit, source, position, skipped, role, desired, decision }: Row): ControlledUnit {
    const isRetryAsked = this.#letters.isAsked(unit)
    return { unit, source, position, skipped, role, desired, decision, isRetryAsked }
  }

  async #untilIdle(unit: Unit, { timeoutMs, signal }: ChangeLimits): Promise<void> {
    const tooLate = new AbortController()
    const timer = setTimeout(() => tooLate.abort(), timeoutMs)
    const over = AbortSignal.any([tooLate.signal, signal])
    try {
      for (;;) {
        signal.throwIfAborted()
        const work = this.#busy.get(unitKey(unit))
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

/** What ended the process is tried anew. */
function triedAnew({ tenure }: OperatedRow): Partial<OperatedRow> {
  if (tenure?.suspicion === undefined) return {}
  return { tenure: { ...tenure, suspicion: { ...tenure.suspicion, tries: 0 } } }
}

function stateOf({ role, desired, position, skipped }: OperatedState): OperatedState {
  return { role, desired, position, skipped }
}
