/** What the process of the writers is told. */
export interface WritersOrder {
  readonly connectionString: string
  readonly table: string
  readonly writers: number
  readonly seconds: number
  readonly seed: number
}

/** One transaction, and when its writer knew that it had ended: what a perfect oracle would know. */
export interface EndedTransaction {
  readonly position: number
  readonly committed: boolean
  readonly endedAtMs: number
}

/** The machine's monotonic clock, the same in every process. */
export function machineNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
