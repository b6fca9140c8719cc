/** Where a record stands in `$all`: offsets into the log, so only their order means something. */
export interface LogPosition {
  readonly commit: bigint
  readonly prepare: bigint
}

export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.commit !== b.commit) return a.commit < b.commit ? -1 : 1
  if (a.prepare !== b.prepare) return a.prepare < b.prepare ? -1 : 1
  return 0
}
