/** What `steady` found. */
export interface Progress {
  readonly written: number
  readonly handled: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly longestMs: number
}
