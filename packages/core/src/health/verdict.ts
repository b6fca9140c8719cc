import type { FailedBatch, FailureStage } from '../failures/classify.ts'
import type { Pulse } from '../kernel/pulse.ts'
import type { Decision } from '../ports/control.ts'
import type { Holder } from '../ports/event-source.ts'
import type { Role } from '../ports/stored-unit.ts'
import type { DealtTo, LeaseStatus, ProjectionState } from '../projection/status.ts'

/**
 * What the health of a projection can be.
 *
 * - `ok`: everything is handled, or what waits is younger than `laggingAfterMs`
 * - `replaying`: it handles events anew: its checkpoint was moved back, or its version comes up beside the live one
 * - `lagging`: the oldest event that waits is older than that; work goes on, or the mark is held
 * - `stalled`: events wait, or something fails, and its checkpoint has not moved for `stalledAfterMs`
 * - `paused`: its handler or mapping failed too often; it tries again by itself. Or an operator has paused it (`pausedBy`)
 * - `failed`: it does not try again by itself: its handler has ended its transaction
 * - `standby`: another process moves its checkpoint, or is to (`dealtTo`, `lease`)
 * - `starting`: `start()` is under way, or its checkpoint was not read yet
 * - `stopped`: `start()` was not called, or `stop()` was
 */
export const PROJECTION_HEALTH: readonly [
  'ok',
  'replaying',
  'lagging',
  'stalled',
  'paused',
  'failed',
  'standby',
  'starting',
  'stopped',
] = ['ok', 'replaying', 'lagging', 'stalled', 'paused', 'failed', 'standby', 'starting', 'stopped']
export type ProjectionHealthStatus = (typeof PROJECTION_HEALTH)[number]

/**
 * What the health of a mark can be.
 *
 * - `moving`: it has moved within `staleAfterMs`
 * - `idle`: it has not, and nothing waits for it
 * - `held`: a transaction that may still fill a gap has kept it for longer than `staleAfterMs` (`heldBy`, `heldSinceMs`)
 * - `stale`: polls have failed or hung for longer than that, or it stands still and nobody is seen to hold it
 * - `went_backwards`: the store stands behind what was processed; polling has halted, an operator decides
 * - `halted`: events became visible where the mark had passed; polling has halted, an operator decides
 * - `starting`: no poll has succeeded yet
 * - `stopped`: `start()` was not called, or `stop()` was
 */
export const MARK_HEALTH: readonly [
  'moving',
  'idle',
  'held',
  'stale',
  'went_backwards',
  'halted',
  'starting',
  'stopped',
] = ['moving', 'idle', 'held', 'stale', 'went_backwards', 'halted', 'starting', 'stopped']
export type MarkHealthStatus = (typeof MARK_HEALTH)[number]

/**
 * What `health()` says. It is plain JSON: positions are texts, times are milliseconds since 1970. What stores and handlers
 * have thrown is named by its code or its name alone; its message is in `status()`.
 */
export interface DaemonHealth {
  /** `false`: a restart of the process would help. `reasons` says why. */
  readonly live: boolean
  /** Whether work goes on here, or can go on, or is done by another process. `reasons` says why not. */
  readonly ready: boolean
  /** Why it is not live or not ready, one sentence each. */
  readonly reasons: readonly string[]
  readonly mark: MarkHealth
  readonly projections: readonly ProjectionHealth[]
}

export interface MarkHealth {
  readonly source: string
  readonly status: MarkHealthStatus
  /** The same in a sentence. */
  readonly why: string
  readonly head: string | undefined
  readonly settled: string | undefined
  readonly mark: string | undefined
  /** When this mark was first seen. */
  readonly movedAtMs: number | undefined
  readonly lastPollAtMs: number | undefined
  /** Since when the oldest gap is open. */
  readonly heldSinceMs: number | undefined
  readonly heldBy: readonly Holder[]
  /** Code or name of what polls fail with. */
  readonly error: string | undefined
}

/** Of a projection in shards: of that shard of which the worst is to be said, with the least position and the longest lag of all. */
export interface ProjectionHealth {
  readonly name: string
  readonly version: number
  /** One that is not `live` makes no process unready. `undefined` before its checkpoint was read. */
  readonly role: Role | undefined
  readonly status: ProjectionHealthStatus
  /** The same in a sentence. */
  readonly why: string
  readonly state: ProjectionState
  /** The node that it is dealt to. One that is dealt to another makes this process not unready. `undefined` where nothing is dealt out. */
  readonly dealtTo: DealtTo | undefined
  /** See `ProjectionStatus`. */
  readonly lease: LeaseStatus | undefined
  /** The checkpoint. */
  readonly position: string | undefined
  readonly lagMs: number | undefined
  /** When the checkpoint last moved in this process, or was read. */
  readonly movedAtMs: number
  /** Since when events wait at or below the mark. */
  readonly waitingSinceMs: number | undefined
  /** What its loop waits for, and since when: its last sign of life. */
  readonly pulse: Pulse
  /** The operator who has paused it. It stands still because it is to, and the process stays ready. */
  readonly pausedBy: Decision | undefined
  readonly failure: FailureHealth | undefined
}

export interface FailureHealth {
  readonly stage: FailureStage
  /** Code or name of what was thrown. */
  readonly error: string
  readonly batch: FailedBatch | undefined
  readonly attempt: number
  readonly inARow: number
  readonly sinceMs: number
  readonly pausedSinceMs: number | undefined
  readonly nextTryAtMs: number | undefined
  readonly whatToDo: string
}
