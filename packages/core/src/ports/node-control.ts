import type { Decision } from './control.ts'
import type { Unit } from './unit.ts'

/** What an operator wants of a node: `cordoned`, that it is given no more; `draining`, that it gives back what it has. */
export type DesiredNode = 'open' | 'cordoned' | 'draining'

/** A node that shares projections by leases, as operators see it. */
export interface ListedNode {
  /** Names one run of a daemon; no two have the same. */
  readonly id: string
  /** What people know it by. Several runs may have the same. */
  readonly name: string
  readonly source: string
  readonly capacity: number
  /** Whether its lease had not expired, by the store's clock. */
  readonly isAlive: boolean
  /** It gives back what it has, and then goes. */
  readonly isLeaving: boolean
  readonly desired: DesiredNode
  /** Who wants that, and why; `undefined` where nobody has ever changed it. */
  readonly decision: Decision | undefined
  /** Whether what it is seen by was there: `unknown` where it has none, or this reader may not see it. */
  readonly presence: 'here' | 'gone' | 'unknown'
  /** What it has. */
  readonly units: readonly Unit[]
}

export interface NodeDecision {
  /** `undefined`: of every source. */
  readonly source: string | undefined
  /** The id of one run, or the name of all that have it. */
  readonly node: string
  readonly desired: DesiredNode
  readonly who: string
  readonly why: string
}

/** What an operator has done to a node. */
export interface NodeAuditEntry {
  /** Greater with each entry. */
  readonly id: bigint
  readonly source: string
  /** The node's name. */
  readonly node: string
  /** The id of each of its runs that was changed. */
  readonly runs: readonly string[]
  readonly desired: DesiredNode
  readonly who: string
  readonly why: string
  /** By the store's clock. */
  readonly atMs: number
}

export interface NodeAuditFilter {
  readonly source: string | undefined
  /** The node's name. */
  readonly node: string | undefined
  /** Entries with a smaller id: the next page. */
  readonly before: bigint | undefined
  readonly limit: number
}

/**
 * What operators want of nodes. A node that joins under the name of another takes over what is wanted of the one of that name and source that
 * was alive last, for as long as the store remembers that: a day at least.
 */
export interface NodeControl {
  /**
   * The nodes of that source, or of all: those that are alive, those that have been gone for less than an hour without saying so, and those
   * of which something else than `open` is wanted. In no order. Writes nothing.
   */
  list(source: string | undefined, signal: AbortSignal): Promise<readonly ListedNode[]>
  /**
   * Changes what is wanted of each run that is meant, also where it is gone, and writes an audit entry for each source of which something
   * was changed: all of it, or nothing. Tells those that are present. Answers the entries: none where it was wanted before.
   */
  decide(decision: NodeDecision, signal: AbortSignal): Promise<readonly NodeAuditEntry[]>
  /** The newest first. */
  audit(filter: NodeAuditFilter, signal: AbortSignal): Promise<readonly NodeAuditEntry[]>
}
