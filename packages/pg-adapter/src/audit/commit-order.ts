/** A row as it was committed. Rows are given in descending order of their positions. */
export interface CommittedRow {
  readonly position: string
  /** The transaction that wrote it, in 64 bits; `undefined`: not known. */
  readonly transaction: number | undefined
  /** Microseconds since the Unix epoch; `undefined`: the server does not know. */
  readonly committedAtUs: number | undefined
}

/** What is wrong with the order of a row. */
export interface OutOfOrder {
  /** How much later it was committed than the first of the rows above it; 0: not later. */
  readonly delayUs: number
  /** The position of that row. */
  readonly passedBy: string | undefined
  /** A row above it has an older transaction. */
  readonly isBelowOlderTransaction: boolean
  /** Such a row was also committed before it. */
  readonly wasOpenMeanwhile: boolean
}

/**
 * Compares each row with all rows above it, in one pass. Seen from the highest position down, the earliest commit so far is
 * all that a delay needs. Rows at one position are not above each other.
 */
export class CommitOrder {
  #first: { readonly atUs: number; readonly position: string } | undefined
  #oldest: number | undefined
  readonly #steps = new Steps()
  readonly #held: CommittedRow[] = []

  /** `undefined`: every row above it is of a later transaction, and was committed later or with it. */
  next(row: CommittedRow): OutOfOrder | undefined {
    if (this.#held.length > 0 && this.#held[0]?.position !== row.position) this.#release()
    this.#held.push(row)
    const { transaction, committedAtUs } = row
    const first = this.#first
    const delayUs = committedAtUs === undefined || first === undefined ? 0 : committedAtUs - first.atUs
    const isBelowOlderTransaction =
      transaction !== undefined && this.#oldest !== undefined && this.#oldest < transaction
    if (delayUs <= 0 && !isBelowOlderTransaction) return undefined
    return {
      delayUs: Math.max(0, delayUs),
      passedBy: delayUs > 0 ? first?.position : undefined,
      isBelowOlderTransaction,
      wasOpenMeanwhile: isBelowOlderTransaction && delayUs > 0 && this.#steps.hasBelow(row),
    }
  }

  #release(): void {
    for (const row of this.#held) {
      const { transaction, committedAtUs, position } = row
      if (committedAtUs !== undefined && !(this.#first && this.#first.atUs <= committedAtUs)) {
        this.#first = { atUs: committedAtUs, position }
      }
      if (transaction !== undefined && !(this.#oldest !== undefined && this.#oldest <= transaction)) {
        this.#oldest = transaction
      }
      this.#steps.add(row)
    }
    this.#held.length = 0
  }
}

interface Step {
  readonly transaction: number
  readonly committedAtUs: number
}

/**
 * The rows that no other row precedes in both transaction id and commit time. Each of them began before the next one and was
 * committed after it, so all of them were open at once: there are no more than connections.
 */
class Steps {
  /** Transactions ascending, and so commits descending. */
  readonly #steps: Step[] = []

  hasBelow({ transaction, committedAtUs }: CommittedRow): boolean {
    if (transaction === undefined || committedAtUs === undefined) return false
    const before = this.#steps[this.#firstFrom(transaction) - 1]
    return before !== undefined && before.committedAtUs < committedAtUs
  }

  add({ transaction, committedAtUs }: CommittedRow): void {
    if (transaction === undefined || committedAtUs === undefined) return
    const at = this.#firstFrom(transaction)
    const before = this.#steps[at - 1]
    const same = this.#steps[at]
    if (before !== undefined && before.committedAtUs <= committedAtUs) return
    if (same?.transaction === transaction && same.committedAtUs <= committedAtUs) return
    let end = at
    while ((this.#steps[end]?.committedAtUs ?? Number.NEGATIVE_INFINITY) >= committedAtUs) end++
    this.#steps.splice(at, end - at, { transaction, committedAtUs })
  }

  #firstFrom(transaction: number): number {
    let low = 0
    let high = this.#steps.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#steps[middle]?.transaction ?? 0) < transaction) low = middle + 1
      else high = middle
    }
    return low
  }
}
