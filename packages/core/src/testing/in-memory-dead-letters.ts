import type {
  DeadLetter,
  DeadLetters,
  LetterClosing,
  LetterFilter,
  LetterPage,
  NewDeadLetter,
  OpenLetters,
} from '../ports/dead-letters.ts'
import { type Unit, unitKey } from '../ports/unit.ts'

/** Dead letters in memory. What an advance has buried is kept once it has moved the checkpoint. */
export class InMemoryDeadLetters<Tx> implements DeadLetters<Tx> {
  /** Of each unit that an advance is at work on. */
  readonly #buried = new Map<string, NewDeadLetter[]>()
  readonly #letters: DeadLetter[] = []

  begin(unit: Unit): void {
    this.#buried.set(unitKey(unit), [])
  }

  end(unit: Unit): void {
    this.#buried.delete(unitKey(unit))
  }

  async bury(_tx: Tx, unit: Unit, letter: NewDeadLetter): Promise<void> {
    const buried = this.#buried.get(unitKey(unit))
    if (buried === undefined)
      throw new TypeError('a dead letter is buried by the work of an advance of its unit')
    buried.push(letter)
  }

  /** The checkpoint has moved. */
  keep(unit: Unit): void {
    for (const letter of this.#buried.get(unitKey(unit)) ?? []) {
      const { projection, version } = unit
      const id = String(this.#letters.length + 1)
      this.#letters.push({ ...letter, id, projection, version, buriedAtMs: Date.now(), closed: undefined })
    }
  }

  async list(filter: LetterFilter, page: LetterPage, signal: AbortSignal): Promise<readonly DeadLetter[]> {
    signal.throwIfAborted()
    const after = Number(page.after ?? 0)
    return this.#letters
      .filter((letter) => Number(letter.id) > after && isOf(letter, filter))
      .slice(0, page.limit)
  }

  async find(id: string, signal: AbortSignal): Promise<DeadLetter | undefined> {
    signal.throwIfAborted()
    return this.#letters.find((letter) => letter.id === id)
  }

  async close(
    ids: readonly string[],
    closing: LetterClosing,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    signal.throwIfAborted()
    const closed = this.#letters.filter((letter) => ids.includes(letter.id) && letter.closed === undefined)
    for (const letter of closed) {
      this.#letters[Number(letter.id) - 1] = { ...letter, closed: { ...closing, atMs: Date.now() } }
    }
    return closed.map(({ id }) => id)
  }

  async counts(signal: AbortSignal): Promise<readonly OpenLetters[]> {
    signal.throwIfAborted()
    const counts = new Map<string, OpenLetters>()
    for (const { projection, version, buriedAtMs, closed } of this.#letters) {
      if (closed !== undefined) continue
      const key = `${version}/${projection}`
      const known = counts.get(key) ?? { projection, version, open: 0, oldestAtMs: buriedAtMs }
      counts.set(key, { ...known, open: known.open + 1 })
    }
    return [...counts.values()]
  }
}

function isOf(letter: DeadLetter, { projection, version, state, eventType }: LetterFilter): boolean {
  return (
    (projection === undefined || letter.projection === projection) &&
    (version === undefined || letter.version === version) &&
    (state === undefined || (letter.closed?.as ?? 'open') === state) &&
    (eventType === undefined || letter.eventTypes.includes(eventType))
  )
}
