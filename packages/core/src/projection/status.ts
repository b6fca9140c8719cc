/**
 * The states a projection can be in.
 *
 * - `catching_up`: events are waiting behind the mark
 * - `live`: everything up to the mark is projected
 * - `standby`: another owner moves this checkpoint
 * - `retrying`: a fault is being retried with back-off (`error` says which)
 * - `paused`: its handler or row mapping failed too often; a restart tries again
 * - `stopped`: not started, or stopped
 */
export const PROJECTION_STATES: readonly ['catching_up', 'live', 'standby', 'retrying', 'paused', 'stopped'] =
  ['catching_up', 'live', 'standby', 'retrying', 'paused', 'stopped']
export type ProjectionState = (typeof PROJECTION_STATES)[number]
