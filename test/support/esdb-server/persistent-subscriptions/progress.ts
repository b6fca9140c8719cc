import type { LogPosition } from '../log-position.ts'
import type { Message } from './messages.ts'
import type { Settings } from './settings.ts'

/**
 * How far a group is, and when that is to be written down (PersistentSubscription.TryMarkCheckpoint): everything at or
 * before a checkpoint is done.
 */
export class Progress {
  readonly #settings: Settings
  /** Of the message pushed last, or of an event that the filter left out. */
  #sequence = -1
  #place: LogPosition | undefined
  #checkpointSequence = -1
  #checkpointAt = 0
  lastCheckpoint: LogPosition | undefined

  /** @param checkpoint - where the group went on, if it was there before */
  constructor(settings: Settings, checkpoint: LogPosition | undefined) {
    this.#settings = settings
    if (checkpoint === undefined) return
    this.#place = checkpoint
    this.#sequence = 0
    this.#checkpointSequence = 0
    this.lastCheckpoint = checkpoint
  }

  /** The next message, or the next event that the filter leaves out, is at this place. */
  advance(place: LogPosition): Pick<Message, 'sequence' | 'previous'> {
    const previous = this.#place
    this.#place = place
    return { sequence: ++this.#sequence, ...(previous ? { previous } : {}) }
  }

  /**
   * The checkpoint to be written now, if there is one.
   *
   * @param unfinished - the first message that is not done with
   */
  checkpoint(unfinished: Message | undefined, isTick: boolean, now: number): LogPosition | undefined {
    const sequence = unfinished?.sequence === undefined ? this.#sequence : unfinished.sequence - 1
    const place = unfinished ? unfinished.previous : this.#place
    if (place === undefined || sequence < 0) return undefined
    const { checkpointAfterMs, minCheckpointCount, maxCheckpointCount } = this.#settings
    const done = sequence - this.#checkpointSequence
    const isTime = isTick && now - this.#checkpointAt >= checkpointAfterMs
    if (done === 0 || !(done >= maxCheckpointCount || (isTime && done >= minCheckpointCount)))
      return undefined
    this.#checkpointAt = now
    this.#checkpointSequence = sequence
    this.lastCheckpoint = place
    return place
  }
}
