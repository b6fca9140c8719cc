// Enumerator.DefaultLiveBufferSize
const SIZE = 32

export interface Numbered<Item> {
  readonly number: number
  readonly item: Item
}

/**
 * What happened while a subscription was busy. When it is full the oldest is dropped, which the subscription sees by
 * the numbers: it has fallen behind, and goes back to the log (Enumerator.cs, CreateLiveChannel).
 */
export class LiveBuffer<Item> {
  readonly #items: Numbered<Item>[] = []
  readonly #until: AbortSignal
  #number = 0
  #wake: () => void = () => {}

  /** @param until - aborts with the subscription: whoever waits is let go. */
  constructor(until: AbortSignal) {
    this.#until = until
    until.addEventListener('abort', () => this.#wake(), { once: true })
  }

  push(item: Item): void {
    if (this.#items.length === SIZE) this.#items.shift()
    this.#items.push({ number: ++this.#number, item })
    this.#wake()
  }

  /** The next one, or undefined when there will be none. One reader at a time. */
  async take(): Promise<Numbered<Item> | undefined> {
    while (this.#items.length === 0 && !this.#until.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#until.aborted ? undefined : this.#items.shift()
  }
}
