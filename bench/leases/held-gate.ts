import type { HeldWhere, HeldWrites } from './protocol.ts'

/** Holds the writes of a node, and tells what has come of them. */
export class HeldGate {
  readonly where: HeldWhere
  /** Resolves when it holds so many. */
  readonly full: Promise<void>
  readonly #opened: Promise<void>
  readonly #outcomes: Promise<keyof HeldWrites>[] = []
  #open: () => void = () => {}
  #fill: () => void = () => {}
  #left: number

  constructor(where: HeldWhere, writes: number) {
    this.where = where
    this.#left = writes
    this.full = new Promise((resolve) => {
      this.#fill = resolve
    })
    this.#opened = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  async wait(): Promise<void> {
    if (--this.#left === 0) this.#fill()
    await this.#opened
  }

  /** The same, with what comes of it counted. */
  outcomeOf<T>(write: Promise<T>): Promise<T> {
    this.#outcomes.push(
      write.then(
        () => 'committed',
        (error: unknown) =>
          error instanceof Error && 'code' in error && error.code === 'TIDEMARK_CHECKPOINT_CONFLICT'
            ? 'refused'
            : 'failed',
      ),
    )
    return write
  }

  async goOn(): Promise<HeldWrites> {
    this.#open()
    const outcomes = await Promise.all(this.#outcomes)
    const count = (of: keyof HeldWrites): number => outcomes.filter((outcome) => outcome === of).length
    return { committed: count('committed'), refused: count('refused'), failed: count('failed') }
  }
}
