/** A queue that takes so many, as System.Threading.Channels has it. */
export class BoundedChannel<Item> {
  readonly #size: number
  readonly #items: Item[] = []
  readonly #until: AbortSignal
  #changed: () => void = () => {}
  #change: Promise<void> = Promise.resolve()

  /** @param until - aborts with the subscription: whoever waits is let go. */
  constructor(size: number, until: AbortSignal) {
    this.#size = size
    this.#until = until
    this.#renew()
    until.addEventListener('abort', () => this.#changed(), { once: true })
  }

  /** `false` where it is full. */
  tryWrite(item: Item): boolean {
    if (this.#items.length >= this.#size) return false
    this.#items.push(item)
    this.#tell()
    return true
  }

  /** Resolves when there was room for it. */
  async write(item: Item): Promise<void> {
    while (!this.#until.aborted && !this.tryWrite(item)) await this.#change
  }

  /** The next one, or undefined when there will be none. */
  async read(): Promise<Item | undefined> {
    while (this.#items.length === 0 && !this.#until.aborted) await this.#change
    const item = this.#until.aborted ? undefined : this.#items.shift()
    this.#tell()
    return item
  }

  #tell(): void {
    this.#changed()
    this.#renew()
  }

  #renew(): void {
    this.#change = new Promise((resolve) => {
      this.#changed = resolve
    })
  }
}
