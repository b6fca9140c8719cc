import type { Unit } from './unit.ts'

/** Units that match all that is given. */
export interface UnitFilter {
  readonly source?: string
  readonly projection?: string
}

/** Why a mark passed positions. `historical_gap`: they lay below the head when the projection first started. */
export const MARK_SKIP_REASONS: readonly ['stale_high_water_mark', 'historical_gap'] = [
  'stale_high_water_mark',
  'historical_gap',
]

/**
 * Why positions or events were skipped. Besides the two reasons of a mark:
 *
 * - `apply_error`: a policy or the consumer gave an event up (`onFailure`; a `nack` with skip or park)
 * - `unknown_event`: a link whose target is gone came without an event
 * - `truncated`: a stream's revisions jumped (`$maxCount`, `$maxAge`, `$tb`, scavenged)
 * - `moved`: an operator has moved the checkpoint past them; no metric counts them
 */
export const SKIP_REASONS: readonly [
  ...typeof MARK_SKIP_REASONS,
  'apply_error',
  'unknown_event',
  'truncated',
  'moved',
] = [...MARK_SKIP_REASONS, 'apply_error', 'unknown_event', 'truncated', 'moved']
export type SkipReason = (typeof SKIP_REASONS)[number]

/** Total number of positions skipped, by reason, since the projection first started. */
export type SkipTotals = Readonly<Partial<Record<SkipReason, bigint>>>

export interface Checkpoint {
  /** `undefined`: nothing processed yet. */
  readonly position: string | undefined
  readonly skipped: SkipTotals
}

/**
 * What a version of a projection is to its readers.
 *
 * - `live`: readers use what it writes. The first version of a name that was ever started is it, until another is switched to
 * - `beside`: it follows the events beside the live one, in tables of its own
 * - `retired`: it stands still, and is kept until it is forgotten
 */
export type Role = 'live' | 'beside' | 'retired'

/** For whom a projection is given its events: for each version whenever it passes them, or for readers once. */
export type Effects = 'always' | 'live_only'

/** A checkpoint as it is opened. */
export interface OpenedCheckpoint extends Checkpoint {
  /** `live` in a store that knows no roles. */
  readonly role: Role
  /** See `ControlledUnit.furthest`. Only stores with `control` know one. */
  readonly furthest?: string | undefined
  /** See `ControlledUnit.bound`. Only stores with `control.reshard` know one. */
  readonly bound?: string | undefined
  /** What operators had decided when it was opened. Only stores with `control` know it. */
  readonly decided?: LastDecided
}

/** Tells whether an operator has decided something since. */
export interface LastDecided {
  /** When what is wanted of the unit was last changed, by the store's clock; `undefined`: never. */
  readonly atMs: number | undefined
  /** The id of the last request that has ended. */
  readonly answered: string | undefined
}

export interface StoredUnit extends Checkpoint {
  readonly unit: Unit
  readonly source: string
}

/** Where a unit stands, for the readers of its projection. */
export interface VersionProgress extends Omit<StoredUnit, 'skipped'> {
  readonly role: Role
}
