/** So that the checkpoint moves often, and a standby sees that somebody works. */
const BATCHES_PER_SECOND = 5

/** How many events a batch of a replay has that is given so many a second. Pure. */
export function pacedBatchSize(batchSize: number, maxEventsPerSecond: number | undefined): number {
  if (maxEventsPerSecond === undefined) return batchSize
  return Math.max(1, Math.min(batchSize, Math.floor(maxEventsPerSecond / BATCHES_PER_SECOND)))
}

/** How long a replay waits after so many events. Pure. */
export function paceMs(events: number, maxEventsPerSecond: number | undefined): number {
  return maxEventsPerSecond === undefined ? 0 : Math.ceil((events * 1_000) / maxEventsPerSecond)
}
