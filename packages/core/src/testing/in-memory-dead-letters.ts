import { OperationRefusedError } from '../kernel/errors.ts'
import type { ClosedLetters } from '../ports/control.ts'
import type {
  DeadLetter,
  DeadLetters,
  LetterAsker,
  LetterChoice,
  LetterClosing,
  LetterError,
  LetterFilter,
  LetterPage,
  NewDeadLetter,
  OpenLetters,
  ParkedKeys,
  RetryState,
  TakenLetter,
} from '../ports/dead-letters.ts'
import { type SlotRange, type Unit, unitKey, versionName } from '../ports/unit.ts'

/** Who asks for what was parked behind a letter that was closed meanwhile. */
const META = { who: 'tidemark', why: 'the one before it was closed meanwhile' }

/** Dead letters in memory. What an advance has buried or retried counts once it has moved the checkpoint. */
export class InMemoryDeadLetters<Tx> implements DeadLetters<Tx> {
  /** What becomes true with the advance that is at work on each unit. */
  readonly #pending = new Map<string, (() => void)[]>()
  readonly #letters: DeadLetter[] = []
  /** The shard whose letter it is, by its id. */
  readonly #slots = new Map<string, SlotRange>()

  begin(unit: Unit): void {
    this.#pending.set(unitKey(unit), [])
  }

  end(unit: Unit): void {
    this.#pending.delete(unitKey(unit))
  }

  async bury(_tx: Tx, unit: Unit, letter: NewDeadLetter): Promise<void> {
    this.#atCommit(unit).push(() => {
      const { projection, version } = unit
      const id = String(this.#letters.length + 1)
      const buriedAtMs = Date.now()
      this.#slots.set(id, unit.slots)
      this.#letters.push({
        ...letter,
        id,
        projection,
        version,
        buriedAtMs,
        retryAsked: undefined,
        closed: undefined,
      })
    })
  }

  async parkedKeys(tx: Tx, unit: Unit, keys: readonly string[]): Promise<ParkedKeys> {
    const open = this.#letters.filter(
      ({ projection, version, closed }) =>
        closed === undefined && projection === unit.projection && version === unit.version,
    )
    return {
      keys: new Set(keys.filter((key) => open.some((letter) => letter.key === key))),
      park: async (letters) => {
        for (const letter of letters) await this.bury(tx, unit, letter)
        this.#atCommit(unit).push(() => {
          for (const { key } of letters) {
            const first = this.#letters.find((each) => each.key === key && each.closed === undefined)
            if (first?.stage === 'parked' && first.tries === 0) this.#ask([first], META)
          }
        })
      },
    }
  }

  async handOver(_tx: Tx, from: Unit, to: Unit): Promise<void> {
    this.#atCommit(to).push(() => {
      const isOfIt = ({ projection, version, closed }: DeadLetter): boolean =>
        closed === undefined && projection === from.projection && version === from.version
      for (const { id } of this.#letters.filter(isOfIt)) this.#set(id, { version: to.version })
    })
  }

  #atCommit(unit: Unit): (() => void)[] {
    const pending = this.#pending.get(unitKey(unit))
    if (pending === undefined)
      throw new TypeError('dead letters are buried and taken by the work of an advance of their unit')
    return pending
  }

  /** The checkpoint has moved. */
  keep(unit: Unit): void {
    for (const take of this.#pending.get(unitKey(unit)) ?? []) take()
  }

  async list(filter: LetterFilter, page: LetterPage, signal: AbortSignal): Promise<readonly DeadLetter[]> {
    signal.throwIfAborted()
    const after = Number(page.after ?? 0)
    return this.#letters
      .filter((letter) => Number(letter.id) > after && isOf(letter, filter))
      .slice(0, page.limit)
  }

  async openIds(
    filter: Omit<LetterFilter, 'state'>,
    page: LetterPage,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    return (await this.list({ ...filter, state: 'open' }, page, signal)).map(({ id }) => id)
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
    return this.#close(ids, closing)
  }

  #close(ids: readonly string[], closing: LetterClosing): readonly string[] {
    const closed = this.#letters.filter((letter) => ids.includes(letter.id) && letter.closed === undefined)
    for (const letter of closed) this.#set(letter.id, { closed: { ...closing, atMs: Date.now() } })
    for (const letter of closed) {
      const behind = letter.key === undefined ? undefined : this.#firstOf(letter)
      if (behind) this.#ask([behind], closing)
    }
    return closed.map(({ id }) => id)
  }

  /** Throws, and changes nothing, where an open letter is of a shard that is cut. */
  reshard(of: Pick<Unit, 'projection' | 'version'>, slots: readonly SlotRange[]): void {
    const open = this.#letters.filter(
      ({ projection, version, closed }) =>
        closed === undefined && projection === of.projection && version === of.version,
    )
    const found = new Map<string, SlotRange>()
    for (const { id } of open) {
      const own = this.#slots.get(id)
      const now = own && slots.find(({ from, to }) => from <= own.from && own.to <= to)
      if (now === undefined) throw lettersOpen(of, open.length)
      found.set(id, now)
    }
    for (const [id, now] of found) this.#slots.set(id, now)
  }

  #isOf({ projection, version, slots }: Unit, letter: DeadLetter): boolean {
    const isOfVersion = letter.projection === projection && letter.version === version
    return isOfVersion && this.#slots.get(letter.id)?.from === slots.from
  }

  replay(unit: Unit, { isMeant, closing }: ClosedLetters): void {
    for (const letter of this.#letters) {
      if (this.#isOf(unit, letter) && letter.closed === undefined && isMeant(letter))
        this.#set(letter.id, { closed: { ...closing, atMs: Date.now() } })
    }
  }

  #set(id: string, change: Partial<DeadLetter>): void {
    const letter = this.#letters[Number(id) - 1]
    if (letter) this.#letters[Number(id) - 1] = { ...letter, ...change }
  }

  /** The one that stands first of its key. */
  #firstOf({ id, projection, version, key }: DeadLetter): DeadLetter | undefined {
    return this.#letters.find(
      (other) =>
        other.closed === undefined &&
        (key === undefined
          ? other.id === id
          : other.key === key && other.projection === projection && other.version === version),
    )
  }

  #isFirst(letter: DeadLetter): boolean {
    return this.#firstOf(letter)?.id === letter.id
  }

  #ask(letters: readonly DeadLetter[], { who, why }: LetterAsker): void {
    for (const { id, retryAsked } of letters) {
      if (retryAsked === undefined) this.#set(id, { retryAsked: { who, why, atMs: Date.now() } })
    }
  }

  async askRetry(choice: LetterChoice, asker: LetterAsker, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted()
    const chosen =
      'ids' in choice
        ? this.#letters.filter(({ id, closed }) => choice.ids.includes(id) && closed === undefined)
        : await this.list({ ...choice.filter, state: 'open' }, choice.page, signal)
    this.#ask(
      chosen.filter((letter) => this.#isFirst(letter)),
      asker,
    )
    return chosen.map(({ id }) => id)
  }

  async retryStates(ids: readonly string[], signal: AbortSignal): Promise<readonly RetryState[]> {
    signal.throwIfAborted()
    return this.#letters
      .filter(({ id }) => ids.includes(id))
      .map((letter) => ({ id: letter.id, state: this.#stateOf(letter) }))
  }

  #stateOf(letter: DeadLetter): RetryState['state'] {
    if (letter.closed) return letter.closed.as
    if (letter.retryAsked || this.#firstOf(letter)?.retryAsked) return 'asked'
    return this.#isFirst(letter) ? 'open' : 'behind'
  }

  /** Whether a retry of one of them is asked for. */
  isAsked(unit: Unit): boolean {
    return this.#letters.some(
      (letter) => this.#isOf(unit, letter) && letter.closed === undefined && letter.retryAsked !== undefined,
    )
  }

  async nextRetry(unit: Unit, signal: AbortSignal): Promise<DeadLetter | undefined> {
    signal.throwIfAborted()
    return this.#letters.find((letter) => this.#isNext(unit, letter))
  }

  #isNext(unit: Unit, letter: DeadLetter): boolean {
    return (
      this.#isOf(unit, letter) &&
      letter.closed === undefined &&
      letter.retryAsked !== undefined &&
      this.#isFirst(letter)
    )
  }

  async takeRetry(_tx: Tx, unit: Unit, id: string): Promise<TakenLetter | undefined> {
    const letter = this.#letters.find((each) => each.id === id)
    if (letter?.retryAsked === undefined || !this.#isNext(unit, letter)) return undefined
    const { who, why } = letter.retryAsked
    return {
      close: async () => {
        this.#atCommit(unit).push(() => this.#close([id], { as: 'retried', who, why }))
      },
    }
  }

  async retryFailed(_tx: Tx, unit: Unit, id: string, error: LetterError): Promise<void> {
    this.#atCommit(unit).push(() => {
      const letter = this.#letters.find((each) => each.id === id)
      if (letter?.retryAsked === undefined || letter.closed) return
      this.#set(id, { tries: letter.tries + 1, error, retryAsked: undefined })
    })
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

function lettersOpen(of: Pick<Unit, 'projection' | 'version'>, count: number): OperationRefusedError {
  const letters = count === 1 ? 'a dead letter is' : `${count} dead letters are`
  return new OperationRefusedError(
    versionName(of),
    `${letters} open, and nobody knows which part of its shard has their key; retry, resolve or discard them first`,
  )
}

function isOf(letter: DeadLetter, { projection, version, state, eventType }: LetterFilter): boolean {
  return (
    (projection === undefined || letter.projection === projection) &&
    (version === undefined || letter.version === version) &&
    (state === undefined || (letter.closed?.as ?? 'open') === state) &&
    (eventType === undefined || letter.eventTypes.includes(eventType))
  )
}
