import {
  type Advanced,
  type AdvanceRequest,
  CheckpointConflictError,
  type CheckpointStore,
  type FirstStart,
  type OpenedCheckpoint,
  ProjectionSourceError,
  requireKnownOptions,
  type StoredProgress,
  type StoredUnit,
  type TidemarkError,
  type Unit,
  type UnitFilter,
  unitKey,
} from '@tidemark/core/adapter'
import { unlessAborted } from './append-turns.ts'
import { CheckpointCalls } from './checkpoint-calls.ts'
import {
  type CheckpointRecord,
  checkpointEvent,
  type ListedCheckpoint,
  listingEvent,
  parseCheckpoint,
  parseListing,
} from './checkpoint-record.ts'
import { CHECKPOINTS_STREAM, checkpointStream } from './checkpoint-stream.ts'
import type { EsdbCheckpointsClient, EsdbEventData } from './client.ts'
import { hasType } from './client-errors.ts'
import { type ClientOption, clientInUse } from './client-in-use.ts'
import { resolveTimeout } from './options.ts'
import { isTransientEsdbError } from './transience.ts'

export interface EsdbCheckpointsOptions {
  /**
   * The client of the store that the events are in. It must be allowed to write to streams `tidemark-checkpoint…`. Both
   * clients keep a call open once something was appended: after the daemon's `stop()`, `dispose()` of the client. Or a
   * function that makes one; give the same to `esdbEvents`, and both use one client: see `ClientOption`.
   */
  readonly client: ClientOption<EsdbCheckpointsClient>
  /**
   * How long a read or an append may go unanswered before it is given up.
   * - Raising it: a server that hangs goes unnoticed for longer, and its projection stands still until then.
   * - Lowering it: a busy server fails batches that would have gone well, and they are handled again.
   * - Change it when: a hanging server has to be noticed sooner, or appends fail on a slow one.
   * @default 30000
   */
  readonly timeoutMs?: number
}

const OPTIONS: Readonly<Record<keyof EsdbCheckpointsOptions, true>> = { client: true, timeoutMs: true }

/**
 * Checkpoints in the store that the events are in, for those who have no other database: a stream for each projection, of
 * which only the last event is kept. Sources of `$all` never hand them out, and an idle daemon appends none.
 *
 * There is no transaction: a handler's effects come first, then the checkpoint, so a crash between the two repeats a batch
 * (at least once). Of two daemons that handle the same batch one moves the checkpoint, and the other stands by.
 *
 * It has no `settled`: each poll of a source of the same store settles its whole log. It has no `skips`: a source that
 * passes positions without proof is refused.
 */
export function esdbCheckpoints(options: EsdbCheckpointsOptions): CheckpointStore<undefined> {
  requireKnownOptions(options, OPTIONS)
  const client = clientInUse(options.client, ['readStream', 'appendToStream', 'setStreamMetadata'])
  return new EsdbCheckpoints(new CheckpointCalls(client, resolveTimeout(options.timeoutMs)))
}

/** The last event of a checkpoint's stream. */
interface Stored extends Partial<CheckpointRecord> {
  /** What the next append expects. */
  readonly revision: bigint | undefined
}

class EsdbCheckpoints implements CheckpointStore<undefined> {
  readonly name = 'esdbCheckpoints'
  readonly #calls: CheckpointCalls
  /** As last read or written here, so that a batch costs one append. */
  readonly #known = new Map<string, Stored>()
  /** Streams that this process has set `$maxCount` on. */
  readonly #bounded = new Set<string>()

  constructor(calls: CheckpointCalls) {
    this.#calls = calls
  }

  /** The row is the stream: its first checkpoint makes it. */
  async open(unit: Unit, { source }: FirstStart, signal: AbortSignal): Promise<OpenedCheckpoint> {
    const { position, skipped = {}, source: owner = source } = await this.#readStored(unit, signal)
    if (owner !== source) {
      const orElse = `; or delete stream "${checkpointStream(unit)}", to project anew`
      throw new ProjectionSourceError(unit.projection, owner, source, orElse)
    }
    return { position, skipped, role: 'live' }
  }

  async read(unit: Unit, signal: AbortSignal): Promise<StoredUnit | undefined> {
    const { position, skipped = {}, source } = await this.#readStored(unit, signal)
    return source === undefined ? undefined : { unit, source, position, skipped }
  }

  async list({ source, projection }: UnitFilter, signal: AbortSignal): Promise<readonly StoredUnit[]> {
    const units = new Map<string, Unit>()
    await this.#calls.readAll(CHECKPOINTS_STREAM, signal, (record) => {
      const listed = parseListing(record)
      // A stream was listed with the source of its first checkpoint, each time that it was made.
      if (source !== undefined && listed.source !== source) return
      const { unit } = listed
      if (projection === undefined || unit.projection === projection) units.set(unitKey(unit), unit)
    })
    const found: StoredUnit[] = []
    for (const unit of units.values()) {
      const stored = await this.read(unit, signal)
      if (stored && (source === undefined || stored.source === source)) found.push(stored)
    }
    return found
  }

  async advance(request: AdvanceRequest, work: (tx: undefined) => Promise<void>): Promise<Advanced> {
    const { unit, source, from, to, signal } = request
    const key = unitKey(unit)
    signal.throwIfAborted()
    const stored = this.#known.get(key) ?? (await this.#readStored(unit, signal))
    // From here on only the store knows where the checkpoint stands, until this has succeeded.
    this.#known.delete(key)
    if (stored.position !== from) {
      throw conflict(unit, `it stands at ${stored.position ?? 'none'}, expected ${from ?? 'none'}`)
    }
    if (stored.revision === undefined) await this.#list({ unit, source }, signal)
    await unlessAborted(work(undefined), signal)
    const moved = { source, position: to, skipped: stored.skipped ?? {} }
    const revision = await this.#append(unit, stored.revision, checkpointEvent(moved), signal)
    await this.#keepLastOnly(unit, signal)
    this.#known.set(key, { ...moved, revision })
    return { position: to, skipped: moved.skipped, crossed: [] }
  }

  async progress(source: string, signal: AbortSignal): Promise<readonly StoredProgress<string>[]> {
    const units = await this.list({ source }, signal)
    return units.map(({ unit, position }) => ({ unit, position }))
  }

  async sharesLogWith(): Promise<boolean> {
    return false
  }

  /** A handler has nothing of this store in its hands. */
  isTransient(error: unknown, thrownBy?: 'handler'): boolean {
    return thrownBy === undefined && isTransientEsdbError(error)
  }

  async #readStored(unit: Unit, signal: AbortSignal): Promise<Stored> {
    let stored: Stored = { revision: undefined }
    await this.#calls.readLast(checkpointStream(unit), signal, (record) => {
      stored = { ...parseCheckpoint(record), revision: record.revision }
    })
    this.#known.set(unitKey(unit), stored)
    return stored
  }

  async #append(
    unit: Unit,
    revision: bigint | undefined,
    event: EsdbEventData,
    signal: AbortSignal,
  ): Promise<bigint> {
    const stream = checkpointStream(unit)
    try {
      const { success, nextExpectedRevision } = await this.#calls.append(
        stream,
        event,
        revision ?? 'no_stream',
        signal,
      )
      // A client made with `throwOnAppendFailure: false` answers this way.
      if (!success) throw conflict(unit, 'another owner moved it')
      return nextExpectedRevision
    } catch (error) {
      throw hasType(error, 'wrong-expected-version') ? conflict(unit, 'another owner moved it', error) : error
    }
  }

  /**
   * Listed before the checkpoint's first event, so that none is missing from the list. Being listed twice does no harm.
   */
  async #list(listed: ListedCheckpoint, signal: AbortSignal): Promise<void> {
    await this.#calls.append(CHECKPOINTS_STREAM, listingEvent(listed), 'any', signal)
  }

  /**
   * Once in every process, in case the one before ended too early. After an append, not before: metadata written to a stream
   * that was deleted, in order to project anew, would bring its last event back.
   */
  async #keepLastOnly(unit: Unit, signal: AbortSignal): Promise<void> {
    const key = unitKey(unit)
    if (this.#bounded.has(key)) return
    await this.#calls.keepLastOnly(checkpointStream(unit), signal)
    this.#bounded.add(key)
  }
}

function conflict({ projection }: Unit, detail: string, cause?: unknown): TidemarkError {
  const error = new CheckpointConflictError(projection, `its checkpoint cannot be moved: ${detail}`)
  if (cause !== undefined) error.cause = cause
  return error
}
