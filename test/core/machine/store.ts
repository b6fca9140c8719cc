import type { Decision, HighWaterReading, PendingRequest } from '@tidemark/core/adapter'
import type { ReadPage } from '../../../packages/core/src/reading/own-pages.ts'
import type { Random } from '../model/random.ts'
import { Wrong } from '../wrong.ts'

type Row = 'event' | 'poison' | 'of another type' | 'empty'

interface Loading {
  readonly after: bigint | undefined
  readonly reading: HighWaterReading<bigint>
}

/**
 * Events and a checkpoint in one log: position n is the n-th row. What is handled is known here, and each move of the
 * checkpoint is held against it.
 */
export class Store {
  checkpoint: bigint | undefined
  /** The operator who wants it to stand still, as its row says. A crash keeps that. */
  pausedBy: Decision | undefined
  /** What the node is asked to do. */
  asked: PendingRequest | undefined
  readonly #rows: Row[] = []
  /** Handled or given up. */
  readonly #handled: bigint[] = []
  #incarnations = 1
  #durable: {
    readonly rows: number
    readonly handled: readonly bigint[]
    readonly checkpoint: bigint | undefined
  } = {
    rows: 0,
    handled: [],
    checkpoint: undefined,
  }

  get incarnation(): string {
    return `run ${this.#incarnations}`
  }

  get head(): bigint | undefined {
    return this.#rows.length === 0 ? undefined : BigInt(this.#rows.length)
  }

  /** The last position that is not empty. */
  get mark(): bigint | undefined {
    const index = this.#rows.findLastIndex((row) => row !== 'empty')
    return index === -1 ? undefined : BigInt(index + 1)
  }

  append(random: Random): void {
    const rows: readonly Row[] = ['event', 'event', 'of another type', 'of another type', 'empty']
    const isPoisoned = random.chance(0.02)
    // Now and then nothing but what the projection leaves out.
    const isFiltered = random.chance(0.5)
    for (let count = 1 + random.below(6); count > 0; count--) {
      const row = random.pick(rows) ?? 'event'
      if (row !== 'event') this.#rows.push(row)
      else this.#rows.push(isFiltered ? 'of another type' : isPoisoned ? 'poison' : 'event')
    }
  }

  /** Whether the handler fails at one of them, whenever it is tried. */
  isPoisoned(events: readonly bigint[]): boolean {
    return events.some((position) => this.#rows[Number(position) - 1] === 'poison')
  }

  /** The handler is mended. */
  mend(): void {
    for (const [index, row] of this.#rows.entries()) if (row === 'poison') this.#rows[index] = 'event'
  }

  flush(): void {
    this.#durable = {
      rows: this.#rows.length,
      handled: [...this.#handled],
      checkpoint: this.checkpoint,
    }
  }

  /**
   * Takes back, of events and checkpoint alike, what was not flushed. Their positions are handed out again. Says that the
   * checkpoint was moved.
   */
  crash(): true {
    this.#incarnations++
    this.#rows.length = this.#durable.rows
    this.#handled.splice(0, this.#handled.length, ...this.#durable.handled)
    this.checkpoint = this.#durable.checkpoint
    return true
  }

  /** Another owner handles a page; whether there was one. */
  moveElsewhere(random: Random): boolean {
    const { mark } = this
    if (mark === undefined || (this.checkpoint !== undefined && mark <= this.checkpoint)) return false
    const to = this.#events(this.checkpoint, mark)[random.below(3)] ?? mark
    this.commit(to, this.#events(this.checkpoint, to))
    return true
  }

  /** An operator moves the checkpoint: what is passed is given up, what is above is to be handled again. */
  moveByHand(random: Random): void {
    const to = BigInt(random.below(Number(this.mark ?? 0n) + 1))
    const passed = this.#events(this.#handled.at(-1), to)
    const kept = this.#handled.filter((event) => event <= to)
    this.#handled.splice(0, this.#handled.length, ...kept, ...passed)
    this.checkpoint = to === 0n ? undefined : to
  }

  /** What handlers have written is cleared, and it begins anew; whether that is still asked for. */
  rebuild(id: string): boolean {
    if (this.asked?.id !== id) return false
    this.asked = undefined
    this.checkpoint = undefined
    this.#handled.length = 0
    return true
  }

  /** `looksAt`: how many positions, at most; there may be nothing in them. */
  load({ after, reading }: Loading, limit: number, looksAt: bigint): ReadPage<bigint, bigint> {
    const { mark } = reading
    if (mark === undefined) throw new Wrong('it loads without a mark')
    const end = (after ?? 0n) + looksAt
    const upTo = end < mark ? end : mark
    const found = this.#events(after, upTo).slice(0, limit)
    const through = (found.length === limit ? found.at(-1) : undefined) ?? upTo
    const { incarnation, settled, logPosition } = reading
    return {
      events: found,
      positions: found,
      through,
      reachesMark: through === mark,
      evidence: { incarnation, settled, logPosition },
    }
  }

  commit(to: bigint, events: readonly bigint[]): void {
    if (this.checkpoint !== undefined && to <= this.checkpoint)
      throw new Wrong(`the checkpoint moves back to ${to}`)
    if (to > BigInt(this.#rows.length))
      throw new Wrong(`the checkpoint moves to ${to}, which nobody has handed out`)
    for (const event of events) {
      if ((this.#handled.at(-1) ?? 0n) >= event) throw new Wrong(`${event} is handled twice, or out of order`)
      this.#handled.push(event)
    }
    this.checkpoint = to
    this.checkHandled(to, 'the checkpoint')
  }

  /** The dead letter of one event, in the transaction that passes it. */
  bury(to: bigint, event: bigint): void {
    if (!this.isPoisoned([event]) && this.#rows[Number(event) - 1] !== 'event')
      throw new Wrong(`${event} is no event`)
    this.commit(to, [event])
  }

  checkHandled(upTo: bigint | undefined, what: string): void {
    if (upTo === undefined) return
    const last = this.#handled.at(-1) ?? 0n
    const [missed] = this.#events(last, upTo)
    if (missed !== undefined) throw new Wrong(`${what} is at ${upTo}, and ${missed} is not handled`)
  }

  /** All is handled, and the checkpoint has followed. */
  checkRest(): void {
    this.checkHandled(this.mark, 'at rest the mark')
    if (this.checkpoint !== this.mark)
      throw new Wrong(`at rest the checkpoint is ${this.checkpoint}, not ${this.mark}`)
  }

  #events(after: bigint | undefined, upTo: bigint): bigint[] {
    const found: bigint[] = []
    for (let position = (after ?? 0n) + 1n; position <= upTo; position++) {
      const row = this.#rows[Number(position) - 1]
      if (row === 'event' || row === 'poison') found.push(position)
    }
    return found
  }
}
