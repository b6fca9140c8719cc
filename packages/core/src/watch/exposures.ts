import type { ConsumerCheckpoint, StoredConsumer } from '../ports/consumer-checkpoints.ts'
import type { Holder } from '../ports/event-source.ts'
import type { VisibleEvent } from '../ports/watch-source.ts'
import { hasPassed, moveBetween } from './coverage.ts'
import type { UnsureReason } from './status.ts'

/**
 * Which events a consumer has lost, as a pure function: what a look saw -> what follows.
 *
 * A look first reads the checkpoint, then takes a snapshot. If the checkpoint has passed a position that the snapshot does
 * not show, the consumer read without that event too: its read came before the checkpoint. Such a position is *exposed*. If
 * the next look shows an event there, the consumer has lost it, unless its checkpoint was moved by something else
 * than reading on. So an event counts as lost only after the consumer has moved on from a checkpoint that had passed it.
 */
export interface ConsumerStanding {
  /** As it was read at the newest look, before that look's snapshot. */
  readonly checkpoint: ConsumerCheckpoint
  readonly run: string | undefined
  readonly revision: string | undefined
  /** What it had passed when it was first seen, or when it was last set: how it came by that is not known. */
  readonly floor: ConsumerCheckpoint
  readonly floorBecause: UnsureReason
  /** From here it moved on with its newest move forward: so it goes by its stored checkpoint. */
  readonly movedFrom: ConsumerCheckpoint | undefined
  /** Became visible late, and not confirmed yet. */
  readonly suspects: readonly Suspect[]
}

export interface Suspect {
  readonly event: VisibleEvent
  /** The checkpoint that had passed it, while it was not visible. */
  readonly passedAt: ConsumerCheckpoint
  /** The last look that did not show it, and the first one that did. */
  readonly missingAtMs: number
  readonly visibleAtMs: number
  /** Who could have held it at that last look. */
  readonly heldBy: readonly Holder[]
}

export interface ConsumerLook {
  /** `undefined`: there is no such checkpoint, or it cannot be read as one. */
  readonly stored: Pick<StoredConsumer, 'checkpoint' | 'run' | 'revision'> | undefined
  /** What was missing at the look before, and is visible at this one. */
  readonly appeared: readonly VisibleEvent[]
  /** Whether parts of the table came or went since the look before: their events were there, or elsewhere, before. */
  readonly isRearranged: boolean
  /** The newest number known to be handed out: no checkpoint of this table stands above it. */
  readonly head: bigint
  readonly atMs: number
  /** When the look before was. */
  readonly previousAtMs: number
  /** Who held numbers at the look before. */
  readonly heldBy: readonly Holder[]
}

export interface Unsure {
  readonly event: VisibleEvent
  readonly because: UnsureReason
}

export interface ConsumerStep {
  readonly standing: ConsumerStanding | undefined
  readonly lost: readonly Suspect[]
  readonly unsure: readonly Unsure[]
}

/** Longer than looks are apart while nothing moves: in that time a consumer may be reset and catch up again, unseen. */
const LOOKS_APART_MS = 500
/** Of one consumer, until they are confirmed. */
const MOST_SUSPECTS = 10_000

export function step(before: ConsumerStanding | undefined, look: ConsumerLook): ConsumerStep {
  const checkpoint = look.stored?.checkpoint
  if (before === undefined) {
    const standing = checkpoint && standingOn(checkpoint, look, 'first_sight')
    return { standing, lost: [], unsure: [] }
  }
  const doubt = doubtOf(before, look)
  if (checkpoint === undefined || doubt !== undefined) {
    const because = doubt ?? 'vanished'
    const events = [...before.suspects.map(({ event }) => event), ...passedBy(before, look)]
    return {
      standing: checkpoint && standingOn(checkpoint, look, because),
      lost: [],
      unsure: events.map((event) => ({ event, because })),
    }
  }
  return confirm(suspect(before, checkpoint, look), look.head)
}

function standingOn(
  checkpoint: ConsumerCheckpoint,
  { stored }: ConsumerLook,
  floorBecause: UnsureReason,
): ConsumerStanding {
  const { run, revision } = stored ?? {}
  return { checkpoint, run, revision, floor: checkpoint, floorBecause, movedFrom: undefined, suspects: [] }
}

/** Why nothing that was known of the consumer holds any more. */
function doubtOf(before: ConsumerStanding, { stored }: ConsumerLook): UnsureReason | undefined {
  if (stored?.checkpoint === undefined) return 'vanished'
  if (stored.run !== before.run) return 'restarted'
  const move = moveBetween(before.checkpoint, stored.checkpoint)
  return move === 'backward' ? 'went_back' : move === 'other_kind' ? 'changed_kind' : undefined
}

/** What appeared where the look before had found it passed. */
function passedBy({ checkpoint }: ConsumerStanding, { appeared }: ConsumerLook): readonly VisibleEvent[] {
  return appeared.filter((event) => hasPassed(checkpoint, event))
}

function suspect(
  before: ConsumerStanding,
  checkpoint: ConsumerCheckpoint,
  look: ConsumerLook,
): { readonly step: ConsumerStep; readonly confirmable: readonly Suspect[] } {
  const { floor, floorBecause } = before
  const hasMoved = moveBetween(before.checkpoint, checkpoint) === 'forward'
  const hidden = hiddenBetween(before, look, hasMoved)
  const confirmable = hidden === undefined ? before.suspects : []
  const fresh: Suspect[] = []
  const unsure: Unsure[] = hidden ? before.suspects.map(({ event }) => ({ event, because: hidden })) : []
  for (const event of passedBy(before, look)) {
    if (hasPassed(floor, event)) unsure.push({ event, because: floorBecause })
    else if (hidden) unsure.push({ event, because: hidden })
    else if (look.isRearranged) unsure.push({ event, because: 'rearranged' })
    else if (confirmable.length + fresh.length >= MOST_SUSPECTS) unsure.push({ event, because: 'too_many' })
    else {
      const { atMs: visibleAtMs, previousAtMs: missingAtMs, heldBy } = look
      fresh.push({ event, passedAt: before.checkpoint, missingAtMs, visibleAtMs, heldBy })
    }
  }
  const movedFrom = hasMoved ? before.checkpoint : before.movedFrom
  const revision = look.stored?.revision
  const standing = { ...before, checkpoint, revision, movedFrom, suspects: fresh }
  return { step: { standing, lost: [], unsure }, confirmable }
}

/** Why the consumer may have been set back and have come up again between the two looks. */
function hiddenBetween(
  before: ConsumerStanding,
  look: ConsumerLook,
  hasMoved: boolean,
): UnsureReason | undefined {
  if (hasMoved) return look.atMs - look.previousAtMs > LOOKS_APART_MS ? 'looks_apart' : undefined
  return look.stored?.revision === before.revision ? undefined : 'rewritten'
}

/** What is new waits for one look more: this look's checkpoint was read before its event was seen. */
function confirm(
  { step: { standing, unsure }, confirmable }: ReturnType<typeof suspect>,
  head: bigint,
): ConsumerStep {
  if (standing === undefined) return { standing, lost: [], unsure }
  const { movedFrom, suspects } = standing
  const isConfirmed = ({ event, passedAt }: Suspect): boolean =>
    movedFrom !== undefined && hasPassed(movedFrom, event) && passedAt.position <= head
  return {
    standing: { ...standing, suspects: [...confirmable.filter((each) => !isConfirmed(each)), ...suspects] },
    lost: confirmable.filter(isConfirmed),
    unsure,
  }
}
