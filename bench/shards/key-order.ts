/** An event, with its number among those of its key, from 0. */
export interface NumberedEvent {
  readonly key: string
  readonly number: number
}

/** Whether each event of a key comes once, and after the one before it. */
export class KeyOrder {
  readonly #next = new Map<string, number>()
  #outOfOrder: string | undefined

  /** The first event that did not. */
  get outOfOrder(): string | undefined {
    return this.#outOfOrder
  }

  see({ key, number }: NumberedEvent): void {
    const next = this.#next.get(key) ?? 0
    if (number !== next) this.#outOfOrder ??= `number ${number} of ${key} came where ${next} was to come`
    this.#next.set(key, number + 1)
  }
}
