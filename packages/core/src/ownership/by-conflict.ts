import { aroundMs } from '../kernel/back-off.ts'
import { PacedLooks } from '../kernel/paced-looks.ts'
import { systemRandom } from '../kernel/random.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { AcquireRequest, Grant, Ownership } from './ownership.ts'
import { type StandByParts, standBy } from './stand-by.ts'
import { unlessConflict } from './unless-conflict.ts'

export interface ByConflictParts<P, Tx> extends StandByParts<P> {
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'advance' | 'tenures'>
  /** For how long a checkpoint stands still, with events waiting, before its owner is taken to be gone. */
  readonly patienceMs: number
}

const LOOK_EVERY_MS = 250
/** What is asked for moves no checkpoint, so that an owner at work on it looks as one that is gone. */
const ASKED_PATIENCE_MS = 5_000
/** After each takeover from an owner that turned out to work, the next one is waited for twice as long, up to this. */
const LONGEST_PATIENCE_MS = 5_000
/** After so long without such a takeover it is waited for as long as at first. */
const CALM_AFTER_MS = 30_000
/** Without a reason of its own each abort makes an error with its stack. */
const CONFLICT = Symbol('another owner has the checkpoint')

/**
 * Whoever moves the checkpoint has it; any store will do. The store locks the checkpoint's row before the handler runs,
 * and tells the loser of a conflict. The loser stands by: it looks at the checkpoint, sooner where somebody waits for it, until
 * that has stood still for a while with events waiting. An owner that is slow, as on a busy machine, is not gone: where one was
 * taken to be, the standby has more patience from then on. Otherwise the nodes take the checkpoint from each other
 * all the time, each is taken to have ended in the middle of its work, and small batches make all of them slower still.
 */
export class ByConflict<P, Tx> implements Ownership<P, Tx> {
  readonly #parts: ByConflictParts<P, Tx>
  readonly #pace: PacedLooks
  #isAnothers = false
  /** Whether the owner before was taken to be gone. */
  #hasTakenOver = false
  #patienceMs: number
  #wronglyAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: ByConflictParts<P, Tx>) {
    this.#parts = parts
    this.#patienceMs = parts.patienceMs
    // Two standbys do not look at the same time.
    this.#pace = new PacedLooks(parts.clock, () => aroundMs(LOOK_EVERY_MS, systemRandom()))
  }

  hurry(): void {
    this.#pace.hurry()
  }

  async acquire(request: AcquireRequest<P>): Promise<Grant<Tx>> {
    const { signal, hurry } = request
    if (this.#isAnothers) {
      await this.#standBy(request, AbortSignal.any([signal, hurry]))
      this.#hasTakenOver = !hurry.aborted
    }
    signal.throwIfAborted()
    this.#isAnothers = false
    const lost = new AbortController()
    const { checkpoints } = this.#parts
    const onConflict = (): void => {
      this.#isAnothers = true
      if (this.#hasTakenOver) this.#wasWrong()
      lost.abort(CONFLICT)
    }
    return {
      lost: lost.signal,
      advance: (request, work) => unlessConflict(checkpoints.advance(request, work), onConflict),
      begin: (...begun) => unlessConflict(checkpoints.tenures?.begin(...begun), onConflict),
      // The lock on the row has ended with its transaction.
      release: async () => {},
    }
  }

  async #standBy({ look, bound, isAsked, nextAsked }: AcquireRequest<P>, signal: AbortSignal): Promise<void> {
    const patienceMs = this.#patienceNow()
    const isGone = (stillMs: number, isIdle: boolean): boolean =>
      stillMs >= (isIdle ? ASKED_PATIENCE_MS : patienceMs)
    await standBy({ ...this.#parts, pace: this.#pace, look, bound, isAsked, nextAsked, isGone }, signal)
  }

  #patienceNow(): number {
    const { clock, patienceMs } = this.#parts
    return clock.nowMs() - this.#wronglyAtMs < CALM_AFTER_MS ? this.#patienceMs : patienceMs
  }

  /** The owner that was taken to be gone works, or another one does. */
  #wasWrong(): void {
    const { clock, patienceMs } = this.#parts
    this.#patienceMs = Math.max(patienceMs, Math.min(2 * this.#patienceNow(), LONGEST_PATIENCE_MS))
    this.#wronglyAtMs = clock.nowMs()
    this.#hasTakenOver = false
  }
}
