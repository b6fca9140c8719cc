import { InvalidOptionError, UnsupportedByStoreError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { OperatorControl } from '../ports/control.ts'
import type { Failures } from '../ports/failures.ts'
import type { LetterStore } from './dead-letters.ts'
import type { EvidenceSource, EvidenceStore } from './evidence.ts'
import type { NodeStore } from './nodes.ts'

/** The part of a checkpoint store that operations use, whatever its handlers are given. */
type OperatedStore = Pick<CheckpointStore<never>, 'name' | 'progress'> &
  LetterStore &
  NodeStore &
  EvidenceStore & {
    readonly control?: OperatorControl
    readonly failures?: Pick<Failures, 'list'>
  }

export interface OperationsOptions<P> {
  /** The checkpoints that the daemons have: `postgresCheckpoints(...)` with the same database and schema. */
  readonly checkpoints: OperatedStore
  /**
   * The source that the daemons read: it says how positions are written and compared. It is asked which events are
   * there by now (`skips`), and for those of a dead letter (`deadLetters.show`).
   * - Change it when: `moveTo` or anything about late events is called, or several sources share these checkpoints and only one
   * is meant.
   * @default none: every source, and what takes positions is refused
   */
  readonly source?: EvidenceSource<P>
}

const OPERATIONS_OPTIONS: Readonly<Record<keyof OperationsOptions<unknown>, true>> = {
  checkpoints: true,
  source: true,
}

export interface ResolvedOperationsOptions<P> extends OperationsOptions<P> {
  readonly control: OperatorControl
}

export function resolveOperationsOptions<P>(options: OperationsOptions<P>): ResolvedOperationsOptions<P> {
  requireKnownOptions(options, OPERATIONS_OPTIONS)
  const { checkpoints, source } = options
  if (typeof checkpoints?.progress !== 'function') {
    throw new InvalidOptionError('checkpoints', 'a CheckpointStore', checkpoints)
  }
  if (source !== undefined && typeof source?.order?.compare !== 'function') {
    throw new InvalidOptionError('source', 'an EventSource', source)
  }
  const { control } = checkpoints
  if (control === undefined) {
    throw new UnsupportedByStoreError(
      'checkpoints',
      checkpoints.name,
      'control',
      'operations keep there what operators want of projections, and who has asked for it',
      'keep the checkpoints in postgresCheckpoints, or stop the daemon instead of pausing a projection',
    )
  }
  return Object.freeze({ checkpoints, control, ...(source === undefined ? {} : { source }) })
}
