import { aroundMs } from '../kernel/back-off.ts'
import type { Clock } from '../kernel/clock.ts'
import { untilAborted } from '../kernel/deferred.ts'
import { PacedLooks } from '../kernel/paced-looks.ts'
import { systemRandom } from '../kernel/random.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { Unit } from '../ports/unit.ts'
import type { HeldLease, LeaseKeeper } from './lease-keeper.ts'
import type { AcquireRequest, Grant, Ownership } from './ownership.ts'
import { LOOKS_ONLY, type StandByParts, standBy } from './stand-by.ts'
import { unlessConflict } from './unless-conflict.ts'

export interface ByLeaseParts<P, Tx> extends StandByParts<P> {
  readonly unit: Unit
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'advance' | 'tenures'>
  readonly keeper: Pick<LeaseKeeper, 'take' | 'idle' | 'granted' | 'hasSeen' | 'hint' | 'finished'>
  readonly agent: StandByParts<P>['agent'] & { readonly reading: unknown }
  readonly clock: Clock
}

const LOOK_EVERY_MS = 1_000
/** Somebody without a lease may be at it, or an operator. */
const AFTER_CONFLICT_MS = 250
/** Without a reason of its own each abort makes an error with its stack. */
const CONFLICT = Symbol('another owner has the checkpoint')
const GRANTED = Symbol('this node has the lease')

/**
 * Who has the lease of the unit works on it; the checkpoint moves under its fence alone. Whoever has it not looks at the checkpoint, as a
 * standby does, and takes nothing by itself. A conflict is no failure: the rows say who has what, and are looked at.
 */
export class ByLease<P, Tx> implements Ownership<P, Tx> {
  readonly #parts: ByLeaseParts<P, Tx>
  readonly #pace: PacedLooks
  #hadConflict = false

  constructor(parts: ByLeaseParts<P, Tx>) {
    this.#parts = parts
    this.#pace = new PacedLooks(parts.clock, () => aroundMs(LOOK_EVERY_MS, systemRandom()))
  }

  hurry(): void {
    this.#pace.hurry()
  }

  async acquire(request: AcquireRequest<P>): Promise<Grant<Tx>> {
    const { checkpoints, keeper, unit } = this.#parts
    const { fence, lost, recalled } = await this.#held(request)
    const conflict = new AbortController()
    const onConflict = (): void => {
      this.#hadConflict = true
      keeper.idle(unit)
      keeper.hint()
      conflict.abort(CONFLICT)
    }
    return {
      lost: AbortSignal.any([lost, conflict.signal]),
      recalled,
      fence,
      advance: (advance, work) =>
        unlessConflict(checkpoints.advance({ ...advance, fence }, work), onConflict),
      begin: (begin, decide) =>
        unlessConflict(checkpoints.tenures?.begin({ ...begin, fence }, decide), onConflict),
      release: async () => keeper.finished(unit, fence),
    }
  }

  async #held({ look, signal }: AcquireRequest<P>): Promise<HeldLease> {
    const { agent, clock, keeper, unit } = this.#parts
    keeper.idle(unit)
    while (agent.reading === undefined && !signal.aborted) await untilAborted(agent.nextChange(), signal)
    signal.throwIfAborted()
    // Nobody is given a unit that has no row, and this makes it.
    await look()
    if (!keeper.hasSeen(unit)) keeper.hint()
    if (this.#hadConflict) await clock.sleep(aroundMs(AFTER_CONFLICT_MS, systemRandom()), signal)
    this.#hadConflict = false
    for (;;) {
      signal.throwIfAborted()
      const held = keeper.take(unit)
      if (held !== undefined) return held
      await this.#standBy(look, signal)
    }
  }

  async #standBy(look: AcquireRequest<P>['look'], signal: AbortSignal): Promise<void> {
    const { keeper, unit } = this.#parts
    const over = new AbortController()
    const until = AbortSignal.any([signal, over.signal])
    void keeper.granted(unit, until).then(() => over.abort(GRANTED))
    try {
      await standBy({ ...this.#parts, ...LOOKS_ONLY, pace: this.#pace, look }, until)
    } finally {
      over.abort(GRANTED)
    }
  }
}
