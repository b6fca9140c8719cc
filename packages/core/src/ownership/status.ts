import { withJson } from '../kernel/json.ts'
import type { Cluster } from '../ports/leases.ts'
import type { DesiredNode } from '../ports/node-control.ts'
import { type Unit, unitKey } from '../ports/unit.ts'

/** How others would notice that a node died: `presence`, at once; `expiry`, when its lease has expired. */
export type SeenBy = 'presence' | 'expiry'

/** `joining`: its lease was not renewed yet. `in`: it takes part. `leaving`: it gives back what it has. `gone`: it has left. */
export type NodeLife = 'joining' | 'in' | 'leaving' | 'gone'

/** The nodes that share projections by leases, as the last renewal of this one has found them. */
export interface ClusterStatus {
  /** This node, whose name is no one's alone: its `id` is. */
  readonly id: string
  readonly name: string
  readonly life: NodeLife
  readonly seenBy: SeenBy
  readonly leaseMs: number
  /** How long ago the last renewal was asked for that was answered; `undefined`: none was. */
  readonly renewedForMs: number | undefined
  /** Those that are alive, and those that have been gone for less than an hour without saying so. */
  readonly nodes: readonly ClusterNode[]
  /** Each unit of the source that has a checkpoint. */
  readonly units: readonly ClusterUnit[]
}

export interface ClusterNode {
  readonly id: string
  readonly name: string
  readonly capacity: number
  readonly isAlive: boolean
  readonly isLeaving: boolean
  /** What an operator wants of it. */
  readonly desired: DesiredNode
  /** Whether what it is seen by was there: `unknown` where it has none, or this node may not see it. */
  readonly presence: 'here' | 'gone' | 'unknown'
  /** How many units it has. */
  readonly units: number
}

export interface ClusterUnit {
  readonly unit: Unit
  /** The id of the node that has it; `undefined`: none. */
  readonly node: string | undefined
  /** Greater with each owner. */
  readonly fence: bigint
}

/** What the keeper of the leases knows. */
export interface KnownCluster {
  readonly life: NodeLife
  readonly seenBy: SeenBy
  /** When the last renewal was asked for that was answered. */
  readonly renewedAtMs: number | undefined
  readonly cluster: Cluster | undefined
}

interface Own {
  readonly id: string
  readonly name: string
  readonly leaseMs: number
}

export function clusterStatus(own: Own, known: KnownCluster, nowMs: number): ClusterStatus {
  const { life, seenBy, renewedAtMs, cluster = { nodes: [], leases: [] } } = known
  const { id, name, leaseMs } = own
  const status: ClusterStatus = {
    id,
    name,
    life,
    seenBy,
    leaseMs,
    renewedForMs: renewedAtMs === undefined ? undefined : nowMs - renewedAtMs,
    nodes: cluster.nodes.map((node) => ({
      id: node.id,
      name: node.name,
      capacity: node.capacity,
      isAlive: node.isAlive,
      isLeaving: node.isLeaving,
      desired: node.desired,
      presence: node.presence.is,
      units: cluster.leases.filter(({ owner }) => owner === node.id).length,
    })),
    units: cluster.leases.map(({ unit, owner, fence }) => ({ unit, node: owner, fence })),
  }
  return withJson(status, () => ({ ...status }))
}

/** Which node has the lease of a unit, by name. */
export function leaseStatus(
  own: Own,
  { cluster }: KnownCluster,
  unit: Unit,
): { readonly node: string | undefined; readonly isHere: boolean } {
  const lease = cluster?.leases.find((each) => unitKey(each.unit) === unitKey(unit))
  const owner = cluster?.nodes.find(({ id }) => id === lease?.owner)
  return { node: owner?.name, isHere: lease?.owner === own.id }
}
