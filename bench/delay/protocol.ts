/** What the process of the writers is told. */
export interface AppendOrder {
  readonly connectionString: string
  /** `table and jobs`: each append adds a job of graphile-worker's in its transaction. */
  readonly store: 'table' | 'table and jobs' | 'emmett'
  /** Events a second. */
  readonly rate: number
  readonly seconds: number
  /** Notified with each append. */
  readonly channel: string | undefined
  /** Events are of so many types, in turns: `type-0`, `type-1` ... @default one type */
  readonly types?: number
}

/** An event, and when its writer knew that it was committed, by the machine's monotonic clock. */
export interface Appended {
  readonly n: number
  readonly atMs: number
}
