import { type Clock, systemClock } from '../kernel/clock.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { withoutUndefined } from '../kernel/validation.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { OperatorControl } from '../ports/control.ts'
import type { EventSource } from '../ports/event-source.ts'

export interface ProgressReaderOptions<P> {
  /** Where the daemon keeps its progress. Of it, checkpoints are read: nothing is written, and no row or table is made. */
  readonly checkpoints: Pick<CheckpointStore<never>, 'name' | 'read' | 'isTransient' | 'progressOf'> & {
    readonly control?: OperatorControl
  }
  /**
   * The source of the daemon. It is asked for its name and for the order of its positions, and reads nothing: make it with the
   * options that the daemon has.
   */
  readonly source: Pick<EventSource<P, unknown>, 'name' | 'order'>
  /**
   * What tells the time, and waits.
   * - Change it when: a test of yours is to own the time.
   * @default the system's
   */
  readonly clock?: Clock
}

export type ResolvedProgressReaderOptions<P> = Required<ProgressReaderOptions<P>>

const PROGRESS_READER_OPTIONS: Readonly<Record<keyof ProgressReaderOptions<unknown>, true>> = {
  checkpoints: true,
  source: true,
  clock: true,
}

export function resolveProgressReaderOptions<P>(
  options: ProgressReaderOptions<P>,
): ResolvedProgressReaderOptions<P> {
  requireKnownOptions(options, PROGRESS_READER_OPTIONS)
  const { checkpoints, source } = options
  if (typeof checkpoints?.read !== 'function') {
    throw new InvalidOptionError('checkpoints', 'a CheckpointStore', checkpoints)
  }
  if (typeof source?.order?.parse !== 'function')
    throw new InvalidOptionError('source', 'an EventSource', source)
  return Object.freeze({ clock: systemClock, ...withoutUndefined(options) })
}
