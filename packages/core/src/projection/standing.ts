import type { ProjectionFailure } from '../failures/classify.ts'
import type { Burial } from '../failures/letter.ts'
import { type BatchExtent, batchLimit, isParting, type Narrowing, narrowedAt } from '../failures/narrow.ts'
import type { Decision, PendingRequest } from '../ports/control.ts'
import type { Evidence, HighWaterReading } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Role, SkipTotals } from '../ports/stored-unit.ts'
import { paceMs } from '../rebuild/pace.ts'
import type { ProjectionState } from './status.ts'

export type Phase =
  /** The right to work is asked for. */
  | 'unowned'
  /** The checkpoint is being read. */
  | 'opening'
  /** Nothing is left to load. */
  | 'following'
  | 'loading'
  /** A checkpoint is on its way up, with a page that is handled or without. */
  | 'applying'
  /** The events of a dead letter are handled. */
  | 'mending'
  /** What an operator has asked this node to do is being done. */
  | 'fulfilling'
  /** Something failed, and is tried again after a wait. */
  | 'resting'
  /** As `resting`, for longer; where trying again would do harm, until the end; where an operator wants it, until it is resumed. */
  | 'paused'
  /** Not started, or stopped. */
  | 'stopped'

/** What is durably processed, with its skip totals. */
export interface KnownCheckpoint<P> {
  readonly position: P | undefined
  readonly skipped: SkipTotals
}

/** The same, with what its version is to its readers. */
export interface KnownUnit<P> {
  readonly checkpoint: KnownCheckpoint<P>
  readonly role: Role
  /** How far the live version had come before it was moved back. */
  readonly furthest: P | undefined
  /** How far it is to come for now, to meet other shards; `undefined`: as far as the mark. */
  readonly bound?: P | undefined
}

/** Where one projection stands, and all that its next step depends on. */
export interface Standing<P> {
  readonly phase: Phase
  /** What operators are shown; see `shownState`. */
  readonly shows: ProjectionState
  /** `late`: whoever has asked for it waits no longer. */
  readonly stopping: 'no' | 'draining' | 'late'
  /**
   * `lost`: another owner has it, and the command at hand has not been answered yet. `recalled`: likewise, and then it is given back.
   */
  readonly right: 'none' | 'held' | 'lost' | 'recalled'
  /** The first reading's head; there may be none yet. */
  readonly startedAt: { readonly head: P | undefined } | undefined
  readonly checkpoint: KnownCheckpoint<P> | undefined
  /** As last heard; `undefined` before the checkpoint was read. */
  readonly role: Role | undefined
  /** Up to there its events are replayed; `undefined`: it was never moved back. */
  readonly furthest: P | undefined
  /** It is to come no further for now, as last heard: other shards are to meet it there. */
  readonly bound: P | undefined
  /** Whether `checkpoint` was read from the store since the last failure. */
  readonly isCheckpointRead: boolean
  readonly checkpointedAtMs: number
  /** How far events were looked at. It stands above the checkpoint if nothing matched since. */
  readonly cursor: P | undefined
  readonly cursorIncarnation: string | undefined
  /** What the checkpoint moves to while `applying`. */
  readonly moving: Move<P> | undefined
  /** When the oldest event that waits was appended, as far as its page has said. */
  readonly oldestAppendedAtMs: number | undefined
  readonly handledEvents: number
  /** A replay handles nothing before that. */
  readonly pacedUntilMs: number
  /** A batch has failed, and smaller ones are asked for until its end is reached, and then larger ones step by step. */
  readonly narrowed: Narrowing<P> | undefined
  /** Events from here on may have ended a process: no page may have more events until they are passed. */
  readonly suspectedLimit: number | undefined
  /** The next batch is tried although the process may end of it: somebody has decided so. */
  readonly isDared: boolean
  /** How often handler or mapping have failed at this batch. */
  readonly attempts: number
  /** What has failed there, once it is known which events those are. */
  readonly failing: GivenUp<P> | undefined
  /** Whether events have passed since the checkpoint was read. */
  readonly hasPassed: boolean
  /** How often in a row anything has failed. */
  readonly failuresInARow: number
  /** Whether dead letters are to be retried: `now`, or once a batch has passed or none is there, so that each has its turn. */
  readonly letters: 'none' | 'after_batch' | 'now'
  /** The operator who wants it to stand still. What is at hand is finished first. */
  readonly pausedBy: Decision | undefined
  /** What an operator has asked for, as the last look has told. */
  readonly asked: PendingRequest | undefined
  /** Whether it was not tried since that look. */
  readonly isAskedDue: boolean
  /** Attempts are used up: how often it was tried again since then. */
  readonly pause: Pause | undefined
  readonly error: unknown
  readonly failure: ProjectionFailure | undefined
}

interface Pause {
  readonly tries: number
  /**
   * What it is paused for, since when, and when the next try is; it is shown again after another owner has tried in vain.
   */
  readonly error: unknown
  readonly failure: ProjectionFailure
}

interface Move<P> {
  readonly to: P
  /** `undefined`: the checkpoint follows a cursor that stands above it. */
  readonly page: MovingPage<P> | undefined
  /** What is given up with it. */
  readonly burial?: Burial
}

interface MovingPage<P> {
  readonly events: number
  /** `undefined` where the source does not say. */
  readonly extent: BatchExtent<P> | undefined
  readonly evidence: Evidence<P>
  readonly lastAppendedAtMs: number | undefined
}

/** What is given up where the projection decides so. */
export interface GivenUp<P> {
  /** Where the checkpoint moves. */
  readonly to: P
  /** `undefined`: nothing holds at the moment that says how far it is safe to go, so it is tried again. */
  readonly evidence: Evidence<P> | undefined
  readonly burial: Burial
}

export const NOT_STARTED: Standing<never> = {
  phase: 'stopped',
  shows: 'stopped',
  stopping: 'no',
  right: 'none',
  startedAt: undefined,
  checkpoint: undefined,
  role: undefined,
  furthest: undefined,
  bound: undefined,
  isCheckpointRead: false,
  checkpointedAtMs: 0,
  cursor: undefined,
  cursorIncarnation: undefined,
  moving: undefined,
  oldestAppendedAtMs: undefined,
  handledEvents: 0,
  pacedUntilMs: 0,
  narrowed: undefined,
  suspectedLimit: undefined,
  isDared: false,
  attempts: 0,
  failing: undefined,
  hasPassed: false,
  failuresInARow: 0,
  letters: 'none',
  pausedBy: undefined,
  asked: undefined,
  isAskedDue: false,
  pause: undefined,
  error: undefined,
  failure: undefined,
}

/** What each phase shows by itself. */
const STATE_OF: Readonly<Record<Phase, ProjectionState>> = {
  unowned: 'standby',
  opening: 'catching_up',
  following: 'live',
  loading: 'catching_up',
  applying: 'catching_up',
  mending: 'catching_up',
  fulfilling: 'catching_up',
  resting: 'retrying',
  paused: 'paused',
  stopped: 'stopped',
}

/** In that phase, and shown so. Nothing fails there, unless it is said. */
export function entered<P>(
  standing: Standing<P>,
  phase: Phase,
  { error, failure }: Pick<Standing<P>, 'error' | 'failure'> = { error: undefined, failure: undefined },
): Standing<P> {
  const shows = STATE_OF[phase]
  // As at each reading while nothing is appended.
  const isSame =
    standing.phase === phase &&
    standing.shows === shows &&
    standing.error === error &&
    standing.failure === failure
  return isSame ? standing : { ...standing, phase, shows, error, failure }
}

/** In that phase, and shown as before: an attempt changes nothing until something has come of it. */
export function attempting<P>(standing: Standing<P>, phase: Phase): Standing<P> {
  return standing.phase === phase ? standing : { ...standing, phase }
}

export function isInTrouble({ shows }: Pick<Standing<unknown>, 'shows'>): boolean {
  return shows === 'retrying' || shows === 'paused' || shows === 'standby'
}

/** Something has come of it: the fault, or the other owner, is gone. A batch that has failed is first handled to its end. */
export function recovered<P>(standing: Standing<P>): Standing<P> {
  const { shows, narrowed, attempts, pause } = standing
  if (!isInTrouble(standing) || pause !== undefined) return standing
  if (!isParting(narrowed) && attempts === 0) {
    return { ...standing, shows: 'catching_up', error: undefined, failure: undefined }
  }
  if (shows === 'retrying') return standing
  return { ...standing, shows: standing.failure === undefined ? 'catching_up' : 'retrying' }
}

/** Everything up to there is handled, the last of it in one batch of that many events. */
export function movedTo<P>(
  standing: Standing<P>,
  order: PositionOrder<P>,
  cursor: P,
  { events, batchSize }: { readonly events: number; readonly batchSize: number },
): Standing<P> {
  const narrowed = narrowedAt(order, standing.narrowed, cursor, events, batchSize)
  const moved = { ...standing, cursor, narrowed }
  // An event that failed may be gone.
  return isParting(standing.narrowed) && !isParting(narrowed) ? blamingNone(moved) : moved
}

/** How many events a page is asked for with. */
export function pageLimit({ narrowed, suspectedLimit }: Standing<unknown>, batchSize: number): number {
  return Math.min(batchLimit(narrowed, batchSize), suspectedLimit ?? batchSize)
}

/** What has failed is behind: nothing counts against what comes. */
export function blamingNone<P>(standing: Standing<P>): Standing<P> {
  const { attempts, failuresInARow, pause } = standing
  if (attempts === 0 && failuresInARow === 0 && pause === undefined) return standing
  return { ...standing, attempts: 0, failing: undefined, failuresInARow: 0, pause: undefined }
}

/** What is shown whatever there is to read. */
export function toldState<P>(standing: Standing<P>, order: PositionOrder<P>): ProjectionState {
  const { shows, phase, pausedBy } = standing
  if (pausedBy !== undefined && phase !== 'stopped') return 'paused'
  return shows === 'catching_up' && isReplaying(standing, order) ? 'replaying' : shows
}

/** So that `catching_up` and `replaying` end with the last event, not with the next step. */
export function shownState<P>(
  standing: Standing<P>,
  order: PositionOrder<P>,
  reading: HighWaterReading<P> | undefined,
): ProjectionState {
  const isCaughtUp =
    reading !== undefined &&
    standing.isCheckpointRead &&
    reading.incarnation === standing.cursorIncarnation &&
    isReached(order, reading.mark, standing.cursor)
  const told = toldState(standing, order)
  return isCaughtUp && (told === 'catching_up' || told === 'replaying') ? 'live' : told
}

/** Whether what it handles next was handled for its readers before: by itself, or by the version that is live. */
export function isReplaying<P>(
  { role, furthest, cursor }: Pick<Standing<P>, 'role' | 'furthest' | 'cursor'>,
  order: PositionOrder<P>,
): boolean {
  return role === 'beside' || !isReached(order, furthest, cursor)
}

/** After the checkpoint was read, when that incarnation was the newest. */
export function withCheckpoint<P>(
  standing: Standing<P>,
  order: PositionOrder<P>,
  checkpoint: KnownCheckpoint<P>,
  incarnation: string,
): Standing<P> {
  const { position } = checkpoint
  const known = standing.checkpoint
  // Another owner, a commit whose answer was lost, or an operator has moved it: the next batch is another one.
  const isMoved =
    known !== undefined &&
    !(isReached(order, position, known.position) && isReached(order, known.position, position))
  // Another incarnation may have gone back, and hand the same positions out again.
  const isAnotherBatch = isMoved || incarnation !== standing.cursorIncarnation
  return {
    ...standing,
    checkpoint,
    isCheckpointRead: true,
    hasPassed: false,
    ...(isMoved ? { failuresInARow: 0 } : {}),
    ...(isAnotherBatch ? { attempts: 0, failing: undefined, pause: undefined, narrowed: undefined } : {}),
    // A cursor above the checkpoint is in memory only, and means nothing in another incarnation.
    cursor: position,
    cursorIncarnation: incarnation,
    oldestAppendedAtMs: isReached(order, position, standing.cursor) ? standing.oldestAppendedAtMs : undefined,
  }
}

/** How often a checkpoint follows the mark while nothing matches the projection's filter. */
const FOLLOW_MARK_EVERY_MS = 1_000
const PATIENCE_MS = 250

/** How long a standby sees the checkpoint stand still, with events waiting, before it takes over. */
export function standbyPatienceMs({
  eventTypes,
  replaying,
}: {
  readonly eventTypes: readonly string[] | undefined
  readonly replaying:
    | { readonly batchSize: number; readonly maxEventsPerSecond: number | undefined }
    | undefined
}): number {
  const patienceMs = eventTypes === undefined ? PATIENCE_MS : PATIENCE_MS + FOLLOW_MARK_EVERY_MS
  return (
    patienceMs + (replaying === undefined ? 0 : paceMs(replaying.batchSize, replaying.maxEventsPerSecond))
  )
}

/** In how many milliseconds the checkpoint may follow a cursor that stands above it; `undefined`: it does not. */
export function followDueInMs<P>(
  { cursor, checkpoint, checkpointedAtMs, bound }: Standing<P>,
  order: PositionOrder<P>,
  nowMs: number,
): number | undefined {
  if (isReached(order, cursor, checkpoint?.position)) return undefined
  // Others wait for it there.
  if (bound !== undefined && isReached(order, bound, cursor)) return 0
  return Math.max(0, checkpointedAtMs + FOLLOW_MARK_EVERY_MS - nowMs)
}
