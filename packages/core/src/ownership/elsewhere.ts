import { aroundMs } from '../kernel/back-off.ts'
import { PacedLooks } from '../kernel/paced-looks.ts'
import { systemRandom } from '../kernel/random.ts'
import type { AcquireRequest, Grant, Ownership } from './ownership.ts'
import { LOOKS_ONLY, type StandByParts, standBy } from './stand-by.ts'

const LOOK_EVERY_MS = 1_000

/**
 * Of a unit that is dealt to another node. This one never works on it, whatever becomes of the other: it looks at the checkpoint,
 * for those who wait here and for who looks after this node, and does nothing that is asked of the unit.
 */
export class Elsewhere<P, Tx> implements Ownership<P, Tx> {
  readonly #parts: StandByParts<P>
  readonly #pace: PacedLooks

  constructor(parts: StandByParts<P>) {
    this.#parts = parts
    this.#pace = new PacedLooks(parts.clock, () => aroundMs(LOOK_EVERY_MS, systemRandom()))
  }

  hurry(): void {
    this.#pace.hurry()
  }

  async acquire({ look, signal }: AcquireRequest<P>): Promise<Grant<Tx>> {
    const pace = this.#pace
    await standBy({ ...this.#parts, ...LOOKS_ONLY, pace, look }, signal)
    throw signal.reason
  }
}
