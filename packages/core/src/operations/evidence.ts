import { systemClock } from '../kernel/clock.ts'
import { neverAborted } from '../kernel/deferred.ts'
import { InvalidOptionError, UnsupportedByStoreError, WaitTimeoutError } from '../kernel/errors.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { LateEvent, LateEvents, LateRange, ListedLate } from '../ports/late-events.ts'
import type { RecordedRun, SkipLedger } from '../ports/skip-ledger.ts'
import { unitName } from '../ports/unit.ts'
import {
  type LateDecisionRequest,
  type LateEventsRequest,
  type ReprocessRequest,
  requireDecisionOptions,
  resolveDecision,
  resolveLateEvents,
  resolveSkips,
  type SkipsRequest,
} from './evidence-requests.ts'
import { resolveWait } from './requests.ts'

/** The parts of a checkpoint store that keep what was passed. */
export interface EvidenceStore extends Pick<CheckpointStore<never>, 'name'> {
  readonly skips?: SkipLedger
  readonly lateEvents?: Omit<LateEvents<never>, 'close'>
}

export type EvidenceSource<P> = Pick<EventSource<P, unknown>, 'name' | 'order' | 'findIn' | 'eventsAt'>

/** A run of positions that was passed without proof. */
export interface PassedRun extends RecordedRun {
  /** The events that are visible in it now: the first 100. `undefined`: the source was not given, or cannot look. */
  readonly thereNow: readonly LateEvent[] | undefined
}

const MOST_OF_ONE_RUN = 100
const LOOK_EVERY_MS = 200

/** What was passed without proof, and what came late. */
export class Evidence<P> {
  readonly #checkpoints: EvidenceStore
  readonly #source: EvidenceSource<P> | undefined

  constructor(checkpoints: EvidenceStore, source: EvidenceSource<P> | undefined) {
    this.#checkpoints = checkpoints
    this.#source = source
  }

  async skips(request: SkipsRequest<P>): Promise<readonly PassedRun[]> {
    const source = this.#source
    const { limit, ...filter } = resolveSkips(request, source)
    const runs = await this.#part('skips').list({ ...filter, ...this.#ofSource() }, limit, neverAborted())
    if (source?.findIn === undefined) return runs.map((run) => ({ ...run, thereNow: undefined }))
    const { parse, compare, format } = source.order
    const found = await source.findIn(
      runs.map(({ from, to }) => ({ from: parse(from), to: parse(to) })),
      MOST_OF_ONE_RUN,
      neverAborted(),
    )
    return runs.map((run) => {
      const [from, to] = [parse(run.from), parse(run.to)]
      const isIn = (position: P): boolean => compare(from, position) <= 0 && compare(position, to) <= 0
      const thereNow = found
        .filter(({ position }) => isIn(position))
        .map(({ position, type }) => ({ position: format(position), type }))
      return { ...run, thereNow }
    })
  }

  async lateEvents(request: LateEventsRequest<P>): Promise<readonly ListedLate[]> {
    const { limit, ...filter } = resolveLateEvents(request, this.#source)
    return await this.#part('lateEvents').list({ ...filter, ...this.#ofSource() }, limit, neverAborted())
  }

  async discard(request: LateDecisionRequest<P>): Promise<number> {
    requireDecisionOptions(request)
    const { who, why } = request
    const source = this.#required('discardLateEvents')
    const range = { source: source.name, ...resolveDecision(request, source) }
    return await this.#part('lateEvents').discard(range, { who, why }, neverAborted())
  }

  async reprocess(request: ReprocessRequest<P>): Promise<number> {
    requireDecisionOptions(request, { timeoutMs: true, signal: true })
    const { who, why } = request
    const { timeoutMs, signal } = resolveWait(request)
    const source = this.#required('reprocess')
    const lateEvents = this.#part('lateEvents')
    const range = { source: source.name, ...resolveDecision(request, source) }
    const untilMs = performance.now() + timeoutMs
    const asked = await lateEvents.ask(range, { who, why }, signal)
    for (let left = asked; left > 0; left = await lateEvents.ask(range, { who, why }, signal)) {
      if (performance.now() >= untilMs) throw await this.#tooLate(range, timeoutMs, left)
      await systemClock.sleep(LOOK_EVERY_MS, signal)
      signal.throwIfAborted()
    }
    return asked
  }

  async #tooLate({ from, to }: LateRange, timeoutMs: number, left: number): Promise<WaitTimeoutError> {
    const filter = { ...this.#ofSource(), state: 'open', from, to } as const
    const listed = await this.#part('lateEvents').list(filter, 100, neverAborted())
    const failing = listed.flatMap(({ position, units }) =>
      units.flatMap(({ unit, error }) =>
        error === undefined ? [] : [`${unitName(unit)} at ${position}: ${error}`],
      ),
    )
    const why = failing[0] === undefined ? '' : `; the last that failed is ${failing[0]}`
    return new WaitTimeoutError(
      `${left} late events are still open after ${timeoutMs} ms${why}. They are asked for, and a daemon that runs their ` +
        'projection handles them: see that one runs and that the projection is not paused, then ask again to wait on',
    )
  }

  #ofSource(): { readonly source?: string } {
    return this.#source === undefined ? {} : { source: this.#source.name }
  }

  #required(operation: string): EvidenceSource<P> {
    if (this.#source !== undefined) return this.#source
    throw new InvalidOptionError(
      'source',
      `the EventSource, since ${operation} takes positions`,
      this.#source,
    )
  }

  #part<K extends 'skips' | 'lateEvents'>(part: K): NonNullable<EvidenceStore[K]> {
    const found = this.#checkpoints[part]
    if (found !== undefined) return found
    throw new UnsupportedByStoreError(
      'checkpoints',
      this.#checkpoints.name,
      part,
      'what a mark has passed without proof is kept with the checkpoints',
      'keep the checkpoints in postgresCheckpoints',
    )
  }
}
