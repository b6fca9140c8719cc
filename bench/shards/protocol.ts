/** What a handler does with each event. */
export type Work =
  | { readonly kind: 'wait'; readonly ms: number }
  /** See `spin`. */
  | { readonly kind: 'cpu'; readonly turns: number }

/** What a process with a daemon is told: to handle all events that are there. */
export interface ShardsOrder {
  readonly connectionString: string
  readonly shards: number
  /** As the option `nodes` of the daemon. */
  readonly index: number
  readonly of: number
  readonly work: Work
}

/** Times are by the machine's monotonic clock. */
export interface ShardsReport {
  /** When a handler was called first. */
  readonly firstAtMs: number
  /** When the last batch was committed. */
  readonly lastAtMs: number
  readonly handled: number
  /** By each shard that this process has worked on. */
  readonly byShard: readonly number[]
  /** The first event that did not follow the one before it of its key. */
  readonly outOfOrder: string | undefined
  /** Of this process. */
  readonly cpuSeconds: number
  /** What came of the work, so that no compiler leaves it out. */
  readonly spun: number
}
