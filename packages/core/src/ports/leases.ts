import type { DesiredNode, NodeControl } from './node-control.ts'
import type { Unit } from './unit.ts'

/** What a node says of itself each time it renews. */
export interface NodeReport {
  /** Names one run of a daemon; no two have the same. */
  readonly id: string
  /** What people know it by. */
  readonly name: string
  /** Of the events that it reads. Nodes of other sources are none of its business. */
  readonly source: string
  /** How much it takes: one with 2 is given twice as many units as one with 1. Above 0. */
  readonly capacity: number
  /** What it has the handler of: `versionKey` of what it can work on in whatever shards, `unitKey` of any other unit. */
  readonly units: readonly string[]
  /** `unitKey` of each of them that it cannot work on for the time being. */
  readonly unable: readonly string[]
  /** It gives back what it has, and then goes. */
  readonly isLeaving: boolean
}

export interface StoredNode extends NodeReport {
  readonly desired: DesiredNode
  /** Whether its lease had not expired, by the store's clock, when this was read. */
  readonly isAlive: boolean
  /**
   * `gone`: what it keeps in the store to be seen by (`presence`) was not there. Names which one that was, so that one that was replaced
   * meanwhile is not taken for it. `unknown`: it keeps none, or this reader may not see it; never a reason to take a node for dead.
   */
  readonly presence: { readonly is: 'here' | 'unknown' } | { readonly is: 'gone'; readonly which: string }
}

/** The right to move a unit's checkpoint. */
export interface Lease {
  readonly unit: Unit
  /** Greater with each owner. The checkpoint moves only under the newest. */
  readonly fence: bigint
}

export interface StoredLease extends Lease {
  /** `NodeReport.id`; `undefined`: nobody has it. */
  readonly owner: string | undefined
}

/** Everything that nodes decide by, as one look has found it. */
export interface Cluster {
  readonly nodes: readonly StoredNode[]
  /** Of each unit of the source that has a row. */
  readonly leases: readonly StoredLease[]
}

export interface RenewRequest {
  readonly node: NodeReport
  /** For how long the node counts as alive from now on, by the store's clock. */
  readonly leaseMs: number
  readonly signal: AbortSignal
}

export interface Claim extends Lease {
  /** Which presence of its owner was gone, where that is why it is taken before its lease has expired. */
  readonly gone: string | undefined
}

export interface ClaimRequest {
  readonly node: string
  /** With the fences that the node has seen. */
  readonly claims: readonly Claim[]
  readonly signal: AbortSignal
}

export interface ReleaseRequest {
  readonly node: string
  readonly leases: readonly Lease[]
  readonly signal: AbortSignal
}

export interface PresenceRequest {
  /** `NodeReport.id`. */
  readonly node: string
  readonly source: string
  /** Another node of that source has come, or gone, or given something back: the next look may be worth it now. Only ever a hint. */
  readonly onHint: () => void
  /** Ends it. */
  readonly signal: AbortSignal
}

/** What a node keeps in the store to be seen by. */
export interface Presence {
  /** `false`: others cannot tell it from another process's, as behind a transaction pooler. They wait until the lease has expired. */
  readonly isSeen: boolean
  /** Resolves when it has ended, whatever has ended it. */
  readonly ended: Promise<void>
}

/**
 * Who works at which unit, with a limit by the store's clock alone: no time of a node is ever stored or compared. A node renews one row of its own, and all that it
 * owns with it; the row of a unit changes only when the unit moves.
 *
 * Nothing here is safe by itself: a node may sleep through the end of its lease and go on. What keeps two owners from both
 * committing is the fence (`AdvanceRequest.fence`).
 */
export interface Leases {
  /** Says that the node is there, and reads everything. A node that has left stays away. */
  renew(request: RenewRequest): Promise<Cluster>
  /**
   * Takes each unit whose fence is still that one, and whose owner is nobody, not alive, or seen by that presence alone, which is still gone; the fence grows. Nothing for a node that is not
   * alive itself. Waits for nobody: a unit whose row somebody works on is left out. What was taken, with its new fence.
   */
  claim(request: ClaimRequest): Promise<readonly Lease[]>
  /** Gives each back that the node still has under that fence. */
  release(request: ReleaseRequest): Promise<void>
  /** The node has gone, with all that it still has. What it has sent before and arrives later changes nothing. */
  leave(node: string, signal: AbortSignal): Promise<void>
  /**
   * Keeps something in the store that ends with this process, so that others see at once when it is gone, not when its lease has
   * expired: for a store of connections one that handlers cannot take, over which the node then asks everything. Only for a node that
   * has renewed.
   */
  presence?(request: PresenceRequest): Promise<Presence>
  /**
   * Waits until the presence of a node of that source that is alive, and has a unit, is gone: `true`. `false` where none was for a
   * while. One call takes about a second of waiting in the store.
   */
  missing?(source: string, signal: AbortSignal): Promise<boolean>
  /** What operators want of nodes. */
  readonly control: NodeControl
}
