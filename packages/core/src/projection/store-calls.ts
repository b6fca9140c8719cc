import { atStage, StagedError, stagedError } from '../failures/classify.ts'
import { formatEvidence } from '../high-water/poll-calls.ts'
import type { Clock } from '../kernel/clock.ts'
import { noAnswerFor, warnWhileUnanswered } from '../kernel/unanswered.ts'
import type { Grant } from '../ownership/ownership.ts'
import type { Advanced, AdvanceWork, CheckpointStore, CrossedRun } from '../ports/checkpoint-store.ts'
import type { EventSource, Evidence, HighWaterReading } from '../ports/event-source.ts'
import type { LastDecided, OpenedCheckpoint } from '../ports/stored-unit.ts'
import type { Tenure } from '../ports/tenures.ts'
import { PageReader, type PageRequest, type ReadPage } from '../reading/own-pages.ts'
import { PageSize } from '../reading/page-size.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import { requireWithinBound } from './bound.ts'
import type { FailedWork } from './commands.ts'
import { isTransientAt } from './passing.ts'
import type { ResolvedProjection } from './projection.ts'
import { reportSkips } from './skip-reports.ts'
import type { KnownUnit } from './standing.ts'

export interface CallParts<P, E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly source: EventSource<P, E>
  readonly checkpoints: Pick<
    CheckpointStore<Tx>,
    'open' | 'isTransient' | 'isTransactional' | 'deadLetters' | 'lateEvents' | 'tenures'
  >
  readonly session: TelemetrySession<P, E>
  readonly logger: Logger
  readonly clock: Clock
  /** How many there are in this daemon: their pages share its memory. */
  readonly projections: number
}

export interface Movement<P, E> {
  readonly from: P | undefined
  readonly to: P
  readonly evidence: Evidence<P>
  /** What is handled with it. */
  readonly page: ReadPage<P, E> | undefined
  /** Fires when nobody waits for it any more. */
  readonly signal: AbortSignal
  /** What is given up with it, and at which positions. */
  readonly passed?: readonly CrossedRun[]
  readonly positions?: readonly string[]
  /** Kept with it. */
  readonly tenure?: Tenure
}

/** What one projection asks of its source and its checkpoint store; positions are texts there. */
export class StoreCalls<P, E, Tx> {
  readonly #parts: CallParts<P, E, Tx>
  readonly #stopping: AbortSignal
  readonly #pages: PageReader<P, E>
  readonly #pageSize: PageSize

  /** Nothing more is read once `stopping` has fired. */
  constructor(parts: CallParts<P, E, Tx>, stopping: AbortSignal) {
    this.#parts = parts
    this.#stopping = stopping
    const { source, projection } = parts
    this.#pageSize = new PageSize(
      parts.projections,
      projection.isSizeGiven ? projection.batchSize : undefined,
    )
    this.#pages = new PageReader(source, projection, stopping, this.#pageSize)
  }

  /** `head`: that of the first reading. */
  async openCheckpoint(
    head: P | undefined,
  ): Promise<KnownUnit<P> & { readonly decided: LastDecided | undefined }> {
    const { projection, checkpoints, source } = this.#parts
    const { format } = source.order
    const first = {
      source: source.name,
      head: head === undefined ? undefined : format(head),
      shards: projection.shards,
      isLaterVersion: projection.isLaterVersion,
    }
    const opened = checkpoints.open(projection.unit, first, this.#stopping)
    const stored = await this.#answered('it asks for its checkpoint', opened)
    return { ...this.known(stored), decided: stored.decided }
  }

  known({ position, skipped, role, furthest, bound }: OpenedCheckpoint): KnownUnit<P> {
    const { parse } = this.#parts.source.order
    const parsed = (text: string | undefined): P | undefined => (text === undefined ? undefined : parse(text))
    return {
      checkpoint: { position: parsed(position), skipped },
      role,
      furthest: parsed(furthest),
      bound: parsed(bound),
    }
  }

  async nextPage(request: PageRequest<P>): Promise<ReadPage<P, E>> {
    return await this.#answered('it asks for a page of events', this.#pages.next(request))
  }

  /** The events from `first` to `last`, both of which were handed out before. */
  async read(first: P, last: P, events: number, reading: HighWaterReading<P>): Promise<ReadPage<P, E>> {
    return await this.#answered(
      'it asks for events that were passed',
      this.#pages.between(first, last, events, reading),
    )
  }

  prefetch(request: PageRequest<P> & { readonly after: P }, handled: Pick<ReadPage<P, E>, 'bytes'>): void {
    this.#pages.prefetch(request, handled)
  }

  /** The next pages are as large as this one's handling says. */
  handled({ events, read = events.length, bytes, reachesMark }: ReadPage<P, E>, tookMs: number): void {
    this.#pageSize.handled({ events: read, bytes, tookMs, isFull: !reachesMark })
  }

  /** Nothing that was prefetched before is used after this. */
  dropPages(): void {
    this.#pages.drop()
  }

  async advance(
    grant: Grant<Tx>,
    { from, to, evidence, page, passed, positions, tenure, signal }: Movement<P, E>,
    work: AdvanceWork<Tx>,
  ): Promise<Advanced> {
    const { projection, source } = this.#parts
    const { format } = source.order
    const request = {
      unit: projection.unit,
      source: source.name,
      from: from === undefined ? undefined : format(from),
      to: format(to),
      evidence: formatEvidence(format, evidence),
      ...(passed === undefined ? {} : { passed }),
      ...(source.passesUnproven === true
        ? { positions: positions ?? page?.positions.map(format) ?? [] }
        : {}),
      ...(tenure === undefined ? {} : { tenure }),
      signal,
    }
    const advanced = await grant.advance(request, async (tx, locked) => {
      requireWithinBound(source.order, projection.name, { from, to }, locked)
      await work(tx, locked)
    })
    reportSkips(this.#parts, projection, advanced, page)
    return advanced
  }

  /** What was thrown, for who decides. Nothing that was prefetched before is used after it. */
  failed(thrown: unknown): FailedWork {
    const { source, checkpoints } = this.#parts
    this.dropPages()
    const { stage, error, batch } =
      thrown instanceof StagedError ? thrown : stagedError('commit', thrown, undefined)
    return { stage, error, batch, isTransient: isTransientAt({ source, checkpoints }, stage, error) }
  }

  /** That the store does not answer while no handler runs is said. */
  #answered<T>(what: string, call: Promise<T>): Promise<T> {
    const { projection, clock, logger } = this.#parts
    const warn = (forMs: number): void =>
      logger.warn(`tidemark: projection "${projection.name}" stands still, ${what}: ${noAnswerFor(forMs)}`)
    return atStage('read', warnWhileUnanswered(call, { clock, signal: this.#stopping, warn }))
  }
}
