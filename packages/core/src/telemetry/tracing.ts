import type { CrossedRun } from '../ports/checkpoint-store.ts'
import type { LostEvent } from '../watch/status.ts'
import type { Exemplar } from './metrics.ts'
import type { ClosedGap } from './telemetry.ts'

/** Spans, through `@opentelemetry/api` alone: without an SDK, or without that package, nothing happens. */
export interface Tracing<E> {
  /** Runs `work` inside a span that is linked to the traces that appended `batch.events`. */
  batch<T>(batch: TracedBatch<E>, work: () => Promise<T>): Promise<T>
  skipped(skip: TracedSkip<E>): void
  late(late: TracedLate): void
  /** A watched consumer has passed an event. */
  consumerLost(event: LostEvent): void
  gapsClosed(
    source: string,
    gaps: readonly ClosedGap[],
    nowMs: number,
    format: (position: unknown) => string,
  ): void
  /** The span at hand, for exemplars. */
  currentSpan(): Exemplar | undefined
}

export interface TracedBatch<E> {
  readonly projection: string
  readonly events: readonly E[]
  readonly firstPosition: string
  readonly lastPosition: string
}

export interface TracedSkip<E> {
  readonly projection: string
  readonly run: CrossedRun
  /** Whether `count` is a number of positions or events. On sparse positions it is not. */
  readonly isCounted: boolean
  /** Whether it is one run of dense positions, so that the difference of its ends is a number. */
  readonly isOneRun: boolean
  /** The event after the run, where it is at hand: it carries the trace that appended it. */
  readonly nextEvent: E | undefined
}

/** Late events that one projection has missed. */
export interface TracedLate {
  readonly projection: string
  readonly source: string
  readonly events: number
  readonly firstPosition: string
  readonly lastPosition: string
}

export const NO_TRACING: Tracing<unknown> = {
  batch: (_, work) => work(),
  skipped: () => {},
  late: () => {},
  consumerLost: () => {},
  gapsClosed: () => {},
  currentSpan: () => undefined,
}
