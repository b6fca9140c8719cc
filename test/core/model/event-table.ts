import type { ModelEvent } from './transaction.ts'

/** The rows by position, each position's newest life; a number that a crash took back may be handed out again. */
export class EventTable {
  /** Of all lives. */
  readonly everInserted: ModelEvent[] = []
  readonly #start: number
  readonly #rows: (ModelEvent | undefined)[] = []

  constructor(start: number) {
    this.#start = start
  }

  insert(position: number): ModelEvent {
    const before = this.at(position)
    if (before && before.state !== 'empty') throw new Error(`the model handed out ${position} twice`)
    const event: ModelEvent = { position, state: 'pending', wasVisible: false, handledBy: 0, excused: 0 }
    this.#rows[position - this.#start] = event
    this.everInserted.push(event)
    return event
  }

  at(position: number): ModelEvent | undefined {
    return this.#rows[position - this.#start]
  }

  /** The visible rows in `(after, upTo]`, the first ones of them. */
  visible(after: bigint | undefined, upTo: bigint | undefined, limit: number): ModelEvent[] {
    const found: ModelEvent[] = []
    const first = after === undefined ? this.#start : Math.max(this.#start, Number(after) + 1)
    const last = this.#lastUpTo(upTo)
    for (let position = first; position <= last && found.length < limit; position++) {
      const event = this.at(position)
      if (event?.state === 'visible') found.push(event)
    }
    return found
  }

  lastVisible(upTo: bigint): bigint | undefined {
    for (let position = this.#lastUpTo(upTo); position >= this.#start; position--) {
      if (this.at(position)?.state === 'visible') return BigInt(position)
    }
    return undefined
  }

  #lastUpTo(upTo: bigint | undefined): number {
    const last = this.#start + this.#rows.length - 1
    return upTo === undefined ? last : Math.min(last, Number(upTo))
  }
}
