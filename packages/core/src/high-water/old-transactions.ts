/**
 * Which stale gaps open transactions may still fill, for stores whose numbers are taken ahead of the transaction that inserts
 * them. A gap is waited for as long as a transaction is open that began before the gap was stale.
 *
 * It is the rule of `settlement.ts`, with the stale position instead of the last number handed out, and with all
 * transactions instead of those that hold the sequence's lock. `undefined` is below every position.
 */
export interface OldTransactions {
  /** The gaps up to here were stale at the last poll. */
  readonly staleUpTo: bigint | undefined
  /** For each transaction that was open at the last poll: the gaps up to here were stale before it began. */
  readonly bounds: ReadonlyMap<string, bigint | undefined>
}

export const NO_OLD_TRANSACTIONS: OldTransactions = { staleUpTo: undefined, bounds: new Map() }

/** @param open - the transactions that were open when this poll found the gaps up to `staleUpTo` stale */
export function boundOpen(
  previous: OldTransactions,
  open: readonly string[],
  staleUpTo: bigint | undefined,
): OldTransactions {
  const named = [...previous.bounds].filter(([transaction]) => !isRenamed(transaction))
  const leastNamed = least(
    previous.staleUpTo,
    named.map(([, bound]) => bound),
  )
  const bounds = new Map<string, bigint | undefined>()
  for (const transaction of open) {
    if (previous.bounds.has(transaction)) bounds.set(transaction, previous.bounds.get(transaction))
    // It may be any of those that were open at the previous poll, also one whose name somebody else has by now.
    else if (isRenamed(transaction)) bounds.set(transaction, leastNamed)
    // The previous poll did not see it, so it began after that.
    else bounds.set(transaction, previous.staleUpTo)
  }
  return { staleUpTo, bounds }
}

/** No open transaction may fill the stale gaps up to here. */
export function freeUpTo({ staleUpTo, bounds }: OldTransactions): bigint | undefined {
  return least(staleUpTo, bounds.values())
}

/** The transactions that may fill the gap right below `position`. */
export function mayFill({ bounds }: OldTransactions, position: bigint): readonly string[] {
  return [...bounds].flatMap(([transaction, bound]) =>
    bound === undefined || bound < position ? [transaction] : [],
  )
}

/** A prepared transaction that has lost the name that it had before, as Postgres shows those that a restart recovered. */
function isRenamed(transaction: string): boolean {
  return transaction.startsWith('-1/')
}

function least(first: bigint | undefined, others: Iterable<bigint | undefined>): bigint | undefined {
  let lowest = first
  for (const each of others) {
    if (lowest === undefined || each === undefined) return undefined
    if (each < lowest) lowest = each
  }
  return lowest
}
