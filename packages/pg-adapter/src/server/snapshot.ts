/**
 * What a poll could see, as `pg_current_snapshot()` tells it: everything of the transactions below `xmax` that had ended.
 * A row of any other transaction was written afterwards.
 */
export interface Snapshot {
  readonly xmin: bigint
  readonly xmax: bigint
  /** Transactions below `xmax` that were still running. */
  readonly running: ReadonlySet<bigint>
}

/**
 * A snapshot is stored with each checkpoint: of a server with more running transactions, less is taken as seen. It has to
 * be more than a busy server runs, since what is not taken as seen may be taken for written afterwards. 500 are 5 KB.
 */
const MOST_RUNNING = 500

/** https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT-PARTS: `xmin:xmax:xip,xip` */
export function parseSnapshot(text: string): Snapshot | undefined {
  const [, xmin, xmax, list] = /^(\d+):(\d+):([\d,]*)$/.exec(text) ?? []
  if (xmin === undefined || xmax === undefined || list === undefined) return undefined
  const running = list === '' ? [] : list.split(',').map(BigInt)
  const dropped = running[MOST_RUNNING]
  return {
    xmin: BigInt(xmin),
    xmax: dropped ?? BigInt(xmax),
    running: new Set(running.slice(0, MOST_RUNNING)),
  }
}

/**
 * Whether what that transaction wrote could be seen.
 *
 * @param xid - as system columns have it, without its epoch
 * @param now - a transaction id above it, with its epoch
 */
export function isSeen({ xmin, xmax, running }: Snapshot, xid: string, now: bigint): boolean {
  const short = BigInt(xid)
  // Frozen by an old server.
  if (short < FIRST_NORMAL_XID) return true
  const full = now - ((now - short) & EPOCH_MASK)
  return full < xmin || (full < xmax && !running.has(full))
}

const FIRST_NORMAL_XID = 3n
const EPOCH_MASK = 0xffff_ffffn
