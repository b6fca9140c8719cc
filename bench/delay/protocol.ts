/** What the process of the writers is told. */
export interface AppendOrder {
  readonly connectionString: string
  readonly store: 'table' | 'emmett'
  /** Events a second. */
  readonly rate: number
  readonly seconds: number
  /** Notified with each append. */
  readonly channel: string | undefined
}

/** An event, and when its writer knew that it was committed, by the machine's monotonic clock. */
export interface Appended {
  readonly n: number
  readonly atMs: number
}
