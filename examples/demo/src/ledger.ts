import { Moments } from './moments.ts'

/** What writers have done, as counted by themselves: for the view, for delays, and for the verdict's first half. */
export class Ledger {
  /** When COMMIT had returned. */
  readonly committedAt: Moments = new Moments()
  /** When the transaction had ended, one way or the other. */
  readonly endedAt: Moments = new Moments()
  readonly counts: Record<Deed, number> = {
    transactions: 0,
    rolledBack: 0,
    savepointsRolledBack: 0,
    held: 0,
    terminated: 0,
    preparedCommitted: 0,
    preparedRolledBack: 0,
  }
  /** Events committed. */
  appended = 0
  /** Events inserted and never committed. */
  undone = 0

  committed(positions: readonly number[]): void {
    const now = performance.now()
    for (const position of positions) {
      this.committedAt.set(position, now)
      this.endedAt.set(position, now)
    }
    this.appended += positions.length
    this.counts.transactions++
  }

  rolledBack(positions: readonly number[]): void {
    const now = performance.now()
    for (const position of positions) this.endedAt.set(position, now)
    this.undone += positions.length
    this.counts.transactions++
  }

  count(deed: Deed): void {
    this.counts[deed]++
  }
}

export type Deed =
  | 'transactions'
  | 'rolledBack'
  | 'savepointsRolledBack'
  | 'held'
  | 'terminated'
  | 'preparedCommitted'
  | 'preparedRolledBack'
