/** One number that a sequence handed out, and the row inserted with it. */
export interface ModelEvent {
  readonly position: number
  /** `empty`: rolled back, or lost in a crash. */
  state: 'pending' | 'visible' | 'deleted' | 'empty'
  wasVisible: boolean
  /** One bit for each projection. */
  handledBy: number
  /** One bit for each projection that had not reached the event when it was deleted: it need not handle it. */
  excused: number
}

export interface Transaction {
  readonly xid: number
  /** Of the session's backend; its number and a counter are the virtual transaction id. */
  readonly slot: number
  virtualId: string
  holdsLock: boolean
  /** `pg_locks` may show a lock twice. */
  readonly listedTwice: boolean
  /**
   * `committing`: the commit is in the WAL and not yet visible. `ending`: visible, or rolled back, and the lock still
   * held. A prepared transaction keeps its virtual id to the end, any other shows as `N/0` while ending.
   */
  phase: 'open' | 'committing' | 'prepared' | 'ending'
  wasPrepared: boolean
  readonly events: ModelEvent[]
}

/** As `pg_locks.virtualtransaction`. */
export function listedAs(transaction: Transaction): string {
  return transaction.phase === 'ending' && !transaction.wasPrepared
    ? `${transaction.slot}/0`
    : transaction.virtualId
}

export function changeEvents(
  transaction: Transaction,
  from: ModelEvent['state'],
  to: ModelEvent['state'],
): void {
  for (const event of transaction.events) {
    if (event.state !== from) continue
    event.state = to
    if (to === 'visible') event.wasVisible = true
  }
}
