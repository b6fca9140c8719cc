import { CheckpointConflictError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import type {
  Advanced,
  AdvanceRequest,
  Checkpoint,
  CheckpointStore,
  CrossedRun,
  SkipReason,
  StoredEvidence,
} from '../ports/checkpoint-store.ts'
import type { SkippedRun, StoredProgress } from '../ports/event-source.ts'

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

interface Row extends Checkpoint {
  readonly source: string
  readonly startedAtHead: string | undefined
  readonly evidence: StoredEvidence | undefined
}

class InMemoryCheckpoints<Tx> implements CheckpointStore<Tx> {
  readonly #tx: Tx
  readonly #rows = new Map<string, Row>()
  readonly #settled = new Map<string, StoredEvidence>()
  readonly #skips = new Map<string, SkippedRun<string>[]>()
  readonly #busy = new Set<string>()

  constructor(tx: Tx) {
    this.#tx = tx
  }

  async read(projection: string, source: string, signal: AbortSignal): Promise<Checkpoint> {
    signal.throwIfAborted()
    const row = this.#rows.get(projection)
    if (row) return row
    const fresh = { position: undefined, skipped: {}, source, startedAtHead: undefined, evidence: undefined }
    this.#rows.set(projection, fresh)
    return fresh
  }

  async advance(request: AdvanceRequest, work: (tx: Tx) => Promise<void>): Promise<Advanced> {
    const { projection, source, from, to, evidence } = request
    if (this.#busy.has(projection))
      throw new CheckpointConflictError(projection, 'another owner is working on it')
    this.#busy.add(projection)
    try {
      const row = this.#rows.get(projection)
      if (row?.position !== from) {
        throw new CheckpointConflictError(projection, `checkpoint is ${row?.position}, expected ${from}`)
      }
      await abortable(() => work(this.#tx), request.signal)
      const startedAtHead = from === undefined ? request.startedAtHead : row?.startedAtHead
      const crossed = this.#crossed(source, from, to, startedAtHead)
      const skipped: Partial<Record<SkipReason, bigint>> = { ...row?.skipped }
      for (const { reason, count } of crossed) skipped[reason] = (skipped[reason] ?? 0n) + count
      this.#rows.set(projection, { position: to, skipped, source, startedAtHead, evidence })
      return { position: to, skipped, crossed }
    } finally {
      this.#busy.delete(projection)
    }
  }

  async progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]> {
    signal.throwIfAborted()
    const rows = [...this.#rows].filter(([, row]) => row.source === source)
    const settled = this.#settled.get(source)
    return [
      ...rows.map(([projection, { position, evidence }]) => ({ projection, position, ...evidence })),
      ...(settled ? [{ projection: undefined, position: undefined, ...settled }] : []),
    ]
  }

  async saveSettled(source: string, evidence: StoredEvidence, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#settled.set(source, evidence)
  }

  async recordSkips(source: string, runs: readonly SkippedRun<string>[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const known = this.#skips.get(source) ?? []
    const last = known.at(-1)?.current
    this.#skips.set(source, [...known, ...runs.flatMap((run) => partAbove(run, last) ?? [])])
  }

  async sharesLogWith(): Promise<boolean> {
    return false
  }

  isTransient(): boolean {
    return false
  }

  #crossed(
    source: string,
    from: string | undefined,
    to: string,
    startedAtHead: string | undefined,
  ): CrossedRun[] {
    const runs = this.#skips.get(source) ?? []
    return runs
      .filter(
        ({ current }) =>
          (from === undefined || BigInt(current) > BigInt(from)) && BigInt(current) <= BigInt(to),
      )
      .map((run) => ({ ...run, reason: reasonOf(run, startedAtHead) }))
  }
}

function partAbove(run: SkippedRun<string>, passed: string | undefined): SkippedRun<string> | undefined {
  if (passed === undefined || BigInt(run.stored) >= BigInt(passed)) return run
  const count = BigInt(run.current) - BigInt(passed) - 1n
  return count > 0n ? { stored: passed, current: run.current, count } : undefined
}

function reasonOf(run: SkippedRun<string>, startedAtHead: string | undefined): SkipReason {
  return startedAtHead !== undefined && BigInt(run.current) <= BigInt(startedAtHead)
    ? 'historical_gap'
    : 'stale_high_water_mark'
}

/** What `work` does after `signal` has fired no longer counts. */
async function abortable(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  signal.addEventListener('abort', stop)
  try {
    await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
