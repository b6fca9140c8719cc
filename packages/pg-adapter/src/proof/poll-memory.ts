import type { Gap, Settlement } from '@tidemark/core/adapter'
import type { KnownBackends } from '../server/backends.ts'
import type { DetachedMembers } from './attached.ts'
import type { FormerSequences } from './former-sequences.ts'
import type { InspectedSequence, Inspection } from './inspection.ts'
import type { Look } from './late-events.ts'
import type { PostgresPoll } from './poll-rows.ts'
import type { Claim } from './replacement.ts'

/** What a source keeps from one incarnation to the next. */
export interface SourceMemory {
  readonly backends: KnownBackends
  readonly former: FormerSequences
}

/** What one poll hands to the next. */
export interface PollMemory {
  readonly inspection: Inspection
  readonly sequence: InspectedSequence
  readonly settlement: Settlement
  /** The newest runs that were proven empty. */
  readonly watched: readonly Gap<bigint>[]
  look: Look
  /** When the greatest visible position was last compared with `v`; the next poll compares it where `undefined`. */
  readonly comparedAtMs: number | undefined
  readonly detached: DetachedMembers
  /** Up to where every projection of this process had handled everything when the newest poll or probe began. */
  readonly handled: { upTo: bigint | undefined }
  /** What was passed on before the table or its sequence was replaced, and cannot be judged yet. */
  readonly pending: readonly Claim[]
}

/** While idle, a visible position that did not come from the sequence is looked for this often. */
const COMPARE_GREATEST_EVERY_MS = 10_000

/** Nothing is open: every number that was handed out is settled. */
export function isIdle({ settlement }: Pick<PollMemory, 'settlement'>): boolean {
  return settlement.settled !== undefined && settlement.settled === settlement.lastHandedOut
}

export function isComparisonDue({ comparedAtMs }: Pick<PollMemory, 'comparedAtMs'>, nowMs: number): boolean {
  return comparedAtMs === undefined || nowMs - comparedAtMs >= COMPARE_GREATEST_EVERY_MS
}

/** A backend that was met for the first time makes the next poll compare. */
export function nextComparedAtMs(
  before: number | undefined,
  poll: Pick<PostgresPoll, 'identity' | 'isCompared'>,
  nowMs: number,
): number | undefined {
  if (poll.isCompared) return nowMs
  return poll.identity === undefined ? before : undefined
}
