import type { KeptLoss, LossKey, LossTotal, LostEvents, PassedPositions } from '../ports/lost-events.ts'

interface Row {
  readonly source: string
  readonly loss: KeptLoss
  claimedAtMs: number
  isTold: boolean
}

/** Lost events in memory. */
export class InMemoryLostEvents implements LostEvents {
  /** In the order in which they were recorded. */
  readonly #rows = new Map<string, Row>()
  readonly #passed = new Map<string, PassedPositions>()

  async record(
    source: string,
    losses: readonly KeptLoss[],
    signal: AbortSignal,
  ): Promise<readonly KeptLoss[]> {
    signal.throwIfAborted()
    return losses.filter((loss) => {
      const key = keyOf(source, loss)
      if (this.#rows.has(key)) return false
      this.#rows.set(key, { source, loss, claimedAtMs: Date.now(), isTold: false })
      return true
    })
  }

  async claim(
    source: string,
    { claimMs, limit }: { readonly claimMs: number; readonly limit: number },
    signal: AbortSignal,
  ): Promise<readonly KeptLoss[]> {
    signal.throwIfAborted()
    const due = this.#of(source)
      .filter(({ isTold, claimedAtMs }) => !isTold && Date.now() - claimedAtMs > claimMs)
      .slice(0, limit)
    for (const row of due) row.claimedAtMs = Date.now()
    return due.map(({ loss }) => loss)
  }

  async told(source: string, losses: readonly LossKey[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    for (const loss of losses) {
      const row = this.#rows.get(keyOf(source, loss))
      if (row) row.isTold = true
    }
  }

  async totals(source: string, signal: AbortSignal): Promise<readonly LossTotal[]> {
    signal.throwIfAborted()
    const totals = new Map<string, LossTotal>()
    for (const { loss } of this.#of(source)) {
      const { consumer, verdict } = loss
      const key = JSON.stringify([consumer, verdict])
      totals.set(key, { consumer, verdict, events: (totals.get(key)?.events ?? 0) + 1 })
    }
    return [...totals.values()]
  }

  async list(source: string, limit: number, signal: AbortSignal): Promise<readonly KeptLoss[]> {
    signal.throwIfAborted()
    return this.#of(source)
      .map(({ loss }) => loss)
      .toReversed()
      .slice(0, limit)
  }

  async keepPassed(
    source: string,
    consumer: string,
    passed: PassedPositions,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted()
    this.#passed.set(JSON.stringify([source, consumer]), passed)
  }

  async passed(source: string, consumer: string, signal: AbortSignal): Promise<PassedPositions | undefined> {
    signal.throwIfAborted()
    return this.#passed.get(JSON.stringify([source, consumer]))
  }

  #of(source: string): readonly Row[] {
    return [...this.#rows.values()].filter((row) => row.source === source)
  }
}

const keyOf = (source: string, { consumer, incarnation, position }: LossKey): string =>
  JSON.stringify([source, consumer, incarnation, position])
