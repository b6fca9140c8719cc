import { type Deferred, deferred } from '../kernel/deferred.ts'
import { CheckpointConflictError, ProjectionPausedError, ProjectionSourceError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import type {
  Advanced,
  AdvanceRequest,
  AdvanceWork,
  CheckpointStore,
  FirstStart,
} from '../ports/checkpoint-store.ts'
import type { ControlledUnit, OperatedState } from '../ports/control.ts'
import type { Evidence, StoredProgress } from '../ports/event-source.ts'
import type { LostEvents } from '../ports/lost-events.ts'
import type { SettledMemory } from '../ports/settled-memory.ts'
import type { SkipLedger } from '../ports/skip-ledger.ts'
import { addCrossed } from '../ports/skip-totals.ts'
import { inOtherShards } from '../ports/slot.ts'
import type { OpenedCheckpoint, Role, StoredUnit, UnitFilter } from '../ports/stored-unit.ts'
import type { Tenure, Tenures } from '../ports/tenures.ts'
import { type SlotRange, type Unit, unitKey, unitName } from '../ports/unit.ts'
import { type Bounded, boundOf, type Fulfilled, InMemoryControl } from './in-memory-control.ts'
import { InMemoryDeadLetters } from './in-memory-dead-letters.ts'
import { InMemoryFailures } from './in-memory-failures.ts'
import { InMemoryLateEvents } from './in-memory-late-events.ts'
import { InMemoryLeases } from './in-memory-leases.ts'
import { InMemoryLostEvents } from './in-memory-lost-events.ts'

export interface InMemoryCheckpointsOptions<Tx> {
  /** What handlers get as `tx`: a stand-in for the client of your database, or a client of a test database. */
  readonly tx: Tx
}

const IN_MEMORY_CHECKPOINTS_OPTIONS: Readonly<Record<keyof InMemoryCheckpointsOptions<unknown>, true>> = {
  tx: true,
}

/**
 * Checkpoints in memory, for tests. What a handler writes through `tx` is not undone when it throws: the checkpoint stays,
 * and the batch is handled again. Where the source skips runs of positions, its positions must be integers.
 */
export function inMemoryCheckpoints(): CheckpointStore<undefined>
export function inMemoryCheckpoints<Tx>(options: InMemoryCheckpointsOptions<Tx>): CheckpointStore<Tx>
export function inMemoryCheckpoints(
  options: Partial<InMemoryCheckpointsOptions<unknown>> = {},
): CheckpointStore<unknown> {
  requireKnownOptions(options, IN_MEMORY_CHECKPOINTS_OPTIONS)
  return new InMemoryCheckpoints(options.tx)
}

interface Row extends Omit<ControlledUnit, 'isRetryAsked' | 'bound'>, Bounded {
  /** `undefined`: nobody has begun. */
  readonly tenure: (Tenure & { readonly begunAtMs: number }) | undefined
  readonly startedAtHead: string | undefined
  readonly evidence: Evidence<string> | undefined
}

class InMemoryCheckpoints<Tx> implements CheckpointStore<Tx> {
  readonly name = 'inMemoryCheckpoints'
  readonly settled: SettledMemory = {
    save: async (source, evidence, signal) => {
      signal.throwIfAborted()
      this.#settled.set(source, evidence)
    },
  }
  readonly tenures: Tenures = {
    begin: async ({ unit, from, effects, fence, signal }, decide) => {
      signal.throwIfAborted()
      const key = unitKey(unit)
      const row = this.#rows.get(key)
      const isOutdated = fence !== undefined && !this.leases.isNewest(key, fence)
      if (row === undefined || row.position !== from || this.#busy.has(key) || isOutdated) {
        throw new CheckpointConflictError(unitName(unit), 'another owner is working on it, or has moved it')
      }
      const { session, suspicion, begunAtMs = 0 } = row.tenure ?? {}
      const tenure = decide({ session, suspicion, ageMs: Date.now() - begunAtMs })
      this.#rows.set(key, { ...row, effects, tenure: { ...tenure, begunAtMs: Date.now() } })
    },
    end: async (unit, session, signal) => {
      signal.throwIfAborted()
      const row = this.#rows.get(unitKey(unit))
      if (row?.tenure?.session !== session) return
      this.#rows.set(unitKey(unit), { ...row, tenure: { ...row.tenure, session: undefined } })
    },
  }
  readonly #tx: Tx
  readonly #rows = new Map<string, Row>()
  readonly #settled = new Map<string, Evidence<string>>()
  readonly #busy = new Map<string, Deferred>()
  readonly deadLetters: InMemoryDeadLetters<Tx> = new InMemoryDeadLetters()
  readonly control: InMemoryControl<Row, Tx> = new InMemoryControl<Row, Tx>({
    rows: this.#rows,
    busy: this.#busy,
    letters: this.deadLetters,
    forgotten: (unit) => this.failures.forget(unit),
    locked: (unit, work, signal) => this.#locked(unit, () => abortable(() => work(this.#tx), signal)),
    moved: (row, fulfilled) => this.#moved(row, fulfilled),
  })
  readonly lateEvents: InMemoryLateEvents<Tx> = new InMemoryLateEvents(this.#rows, (of, noted) =>
    this.control.note(of, noted),
  )
  readonly skips: SkipLedger = this.lateEvents.skips
  readonly lostEvents: LostEvents = new InMemoryLostEvents()
  readonly leases: InMemoryLeases = new InMemoryLeases({
    units: () => this.#rows.values(),
    isBusy: (key) => this.#busy.has(key),
    nowMs: () => Date.now(),
  })
  readonly failures: InMemoryFailures = new InMemoryFailures(this.#rows, (key, fence) =>
    this.leases.isNewest(key, fence),
  )

  constructor(tx: Tx) {
    this.#tx = tx
  }

  async open(unit: Unit, first: FirstStart, signal: AbortSignal): Promise<OpenedCheckpoint> {
    signal.throwIfAborted()
    const { source, shards = [unit.slots] } = first
    if (this.#slotsOf(unit).length === 0) for (const slots of shards) this.#make({ ...unit, slots }, first)
    const row = this.#rows.get(unitKey(unit))
    if (row === undefined) throw inOtherShards(unit, this.#slotsOf(unit))
    if (row.source !== source) throw new ProjectionSourceError(unitName(unit), row.source, source)
    const { position, skipped, role, furthest, decision, answered } = row
    const decided = { atMs: decision?.sinceMs, answered: answered?.id }
    return { position, skipped, role, furthest, bound: boundOf(row), decided }
  }

  #slotsOf({ projection, version }: Unit): readonly SlotRange[] {
    return [...this.#rows.values()].flatMap(({ unit }) =>
      unit.projection === projection && unit.version === version ? unit.slots : [],
    )
  }

  #make(unit: Unit, { source, head, isLaterVersion = false }: FirstStart): void {
    const fresh = {
      position: undefined,
      skipped: {},
      role: this.#firstRole(unit, isLaterVersion),
      furthest: undefined,
    }
    const desired = {
      desired: 'running',
      decision: undefined,
      asked: undefined,
      answered: undefined,
      gathering: undefined,
    } as const
    this.#rows.set(unitKey(unit), {
      ...fresh,
      ...desired,
      unit,
      source,
      startedAtHead: head,
      evidence: undefined,
      effects: undefined,
      tenure: undefined,
    })
  }

  #firstRole({ projection, version }: Unit, isLaterVersion: boolean): Role {
    const isOtherLive = ({ unit, role }: Row): boolean =>
      unit.projection === projection && unit.version !== version && role === 'live'
    return isLaterVersion || [...this.#rows.values()].some(isOtherLive) ? 'beside' : 'live'
  }

  async read(unit: Unit, signal: AbortSignal): Promise<StoredUnit | undefined> {
    signal.throwIfAborted()
    const row = this.#rows.get(unitKey(unit))
    return row && storedUnit(row)
  }

  async list({ source, projection }: UnitFilter, signal: AbortSignal): Promise<readonly StoredUnit[]> {
    signal.throwIfAborted()
    return [...this.#rows.values()]
      .filter((row) => source === undefined || row.source === source)
      .filter((row) => projection === undefined || row.unit.projection === projection)
      .map(storedUnit)
  }

  async advance(request: AdvanceRequest, work: AdvanceWork<Tx>): Promise<Advanced> {
    const { unit, source, from, to, evidence, passed = [], positions = [], tenure, fence, signal } = request
    const key = unitKey(unit)
    if (this.#busy.has(key))
      throw new CheckpointConflictError(unitName(unit), 'another owner is working on it')
    return await this.#locked(unit, async () => {
      const row = this.#rows.get(key)
      if (row?.desired === 'paused' && row.decision !== undefined) {
        throw new ProjectionPausedError(unitName(unit), row.decision)
      }
      if (row === undefined || row.position !== from) {
        throw new CheckpointConflictError(unitName(unit), `checkpoint is ${row?.position}, expected ${from}`)
      }
      if (tenure !== undefined && row.tenure?.session !== tenure.session) {
        throw new CheckpointConflictError(unitName(unit), 'another owner has begun to work on it')
      }
      if (fence !== undefined && !this.leases.isNewest(key, fence)) {
        throw new CheckpointConflictError(unitName(unit), 'another node has its lease')
      }
      await abortable(
        () => work(this.#tx, { role: row.role, furthest: row.furthest, bound: boundOf(row) }),
        signal,
      )
      const { skips } = this.lateEvents
      const crossed = [...skips.crossed(source, from, to, row.startedAtHead), ...passed]
      const skipped = addCrossed(row.skipped, crossed)
      const kept = tenure === undefined ? row.tenure : { ...tenure, begunAtMs: Date.now() }
      this.#rows.set(key, { ...row, position: to, skipped, evidence, tenure: kept })
      this.lateEvents.keep(unit, source, positions)
      return { position: to, skipped, crossed }
    })
  }

  #moved(
    row: Row,
    { to, evidence, positions = [] }: Fulfilled,
  ): { readonly row: Row; readonly to: OperatedState } {
    if (evidence === undefined || to.position === undefined) return { row, to }
    const { unit, source, position, startedAtHead } = row
    const crossed = this.lateEvents.skips.crossed(source, position, to.position, startedAtHead)
    this.lateEvents.keep(unit, source, positions)
    return { row: { ...row, evidence }, to: { ...to, skipped: addCrossed(to.skipped, crossed) } }
  }

  async #locked<T>(unit: Unit, work: () => Promise<T>): Promise<T> {
    const key = unitKey(unit)
    const over = deferred()
    this.#busy.set(key, over)
    this.deadLetters.begin(unit)
    this.lateEvents.begin(unit)
    try {
      const result = await work()
      this.deadLetters.keep(unit)
      return result
    } finally {
      this.deadLetters.end(unit)
      this.lateEvents.end(unit)
      this.#busy.delete(key)
      over.resolve()
    }
  }

  async progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]> {
    signal.throwIfAborted()
    const rows = [...this.#rows.values()].filter((row) => row.source === source)
    const settled = this.#settled.get(source)
    return [
      ...rows.map(({ unit, position, evidence }) => ({ unit, position, ...evidence })),
      ...(settled ? [{ unit: undefined, position: undefined, ...settled }] : []),
    ]
  }

  async sharesLogWith(): Promise<boolean> {
    return false
  }

  isTransient(): boolean {
    return false
  }
}

function storedUnit({ unit, source, position, skipped }: Row): StoredUnit {
  return { unit, source, position, skipped }
}

/** What `work` does after `signal` has fired no longer counts. */
async function abortable<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
