import type { ConsumerCheckpoint, StoredConsumer } from '../ports/consumer-checkpoints.ts'
import type { Gap } from '../ports/event-source.ts'
import { countPassed, isOfCategory, isOfTypes, moveBetween } from './coverage.ts'
import { type ConsumerLook, type ConsumerStanding, type Suspect, step } from './exposures.ts'
import type { LaggingConsumer } from './lag.ts'
import type { UnsureReason, WatchedConsumer } from './status.ts'

/** What a look saw, as all consumers share it. */
export type SharedLook = Omit<ConsumerLook, 'stored'>

/** One consumer over all looks: where it stands, and what was counted. */
export class ConsumerTally {
  readonly consumer: string
  readonly #types: readonly string[] | 'all' | undefined
  #standing: ConsumerStanding | undefined
  #stored: StoredConsumer | undefined
  #looks = 0
  #moves = 0
  #movedAtMs: number | undefined
  #seenAtMs = 0
  #told = 0
  #isBeyond = false
  readonly #cannotTell: Partial<Record<UnsureReason, number>> = {}

  constructor(consumer: string, types: readonly string[] | 'all' | undefined) {
    this.consumer = consumer
    this.#types = types
  }

  /** Whether the user has said which types it handles. */
  get isHandled(): boolean {
    return this.#types !== undefined
  }

  get moves(): number {
    return this.#moves
  }

  /** Whether it is still stored. */
  get isThere(): boolean {
    return this.#stored !== undefined
  }

  /** Takes in a look; returns what the consumer has lost. */
  look(stored: StoredConsumer | undefined, shared: SharedLook): readonly Suspect[] {
    const before = this.#standing
    const category = (stored ?? this.#stored)?.category
    const appeared = shared.appeared.filter(
      (event) => isOfTypes(event, this.#types) && isOfCategory(event, category),
    )
    const { standing, lost, unsure } = step(before, { ...shared, appeared, stored })
    this.#standing = standing
    this.#stored = stored
    if (before === undefined) this.#seenAtMs = shared.atMs
    else this.#looks++
    if (before && standing && moveBetween(before.checkpoint, standing.checkpoint) !== 'none') {
      this.#moves++
      this.#movedAtMs = shared.atMs
    }
    for (const { because } of unsure) this.#unsure(because, 1)
    this.#told += lost.length
    return lost
  }

  /** The store is another one: nothing that was seen holds. */
  beginAnew(): void {
    this.#unsure('begun_anew', this.#standing?.suspects.length ?? 0)
    this.#standing = undefined
  }

  /** The checkpoint, where the newest look was the first to find it beyond the end of its log. */
  newlyBeyond(): string | undefined {
    const wasBeyond = this.#isBeyond
    this.#isBeyond = this.#stored?.inLog?.place === 'beyond_log'
    return this.#isBeyond && !wasBeyond ? this.#stored?.text : undefined
  }

  /** `undefined` where its lag in seconds would mean nothing. */
  get lagging(): LaggingConsumer | undefined {
    const checkpoint = this.#standing?.checkpoint
    if (checkpoint?.kind !== 'position' || this.#types === undefined) return undefined
    return { consumer: this.consumer, position: checkpoint.position, types: this.#types }
  }

  status(
    missing: readonly Gap<bigint>[],
    mark: bigint | undefined,
    nowMs: number,
  ): Omit<WatchedConsumer, 'lagMs'> {
    const checkpoint = this.#standing?.checkpoint
    const inLog = this.#stored?.inLog
    return {
      consumer: this.consumer,
      checkpoint: this.#stored?.text ?? '',
      isUnderstood: this.#stored?.checkpoint !== undefined,
      place: inLog?.place,
      parked: inLog?.parked,
      lagPositions: inLog === undefined ? lagOf(checkpoint, mark) : inLog.lagPositions,
      ageMs: Math.max(0, nowMs - (this.#movedAtMs ?? this.#seenAtMs)),
      movedAtMs: this.#movedAtMs,
      looks: this.#looks,
      moves: this.#moves,
      exposedPositions: checkpoint && countPassed(checkpoint, missing),
      unconfirmed: this.#standing?.suspects.length ?? 0,
      lost: this.isHandled ? this.#told : 0,
      passed: this.isHandled ? 0 : this.#told,
      cannotTell: { ...this.#cannotTell },
    }
  }

  #unsure(because: UnsureReason, count: number): void {
    if (count > 0) this.#cannotTell[because] = (this.#cannotTell[because] ?? 0) + count
  }
}

/** The position of a pair may go down while the consumer goes forward: its distance says nothing. */
function lagOf(checkpoint: ConsumerCheckpoint | undefined, mark: bigint | undefined): bigint | undefined {
  if (checkpoint === undefined || checkpoint.kind === 'pair' || mark === undefined) return undefined
  return mark > checkpoint.position ? mark - checkpoint.position : 0n
}
