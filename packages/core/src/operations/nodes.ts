import { neverAborted } from '../kernel/deferred.ts'
import { NodeUnknownError, UnsupportedByStoreError } from '../kernel/errors.ts'
import type { DesiredNode, ListedNode, NodeAuditEntry, NodeControl } from '../ports/node-control.ts'
import {
  type NodeAuditRequest,
  type NodeRequest,
  resolveNodeAudit,
  resolveNodeRequest,
} from './node-requests.ts'

/** What an operation on nodes has come to. */
export interface NodeOutcome {
  /** `already`: it was so before, and nothing was changed. */
  readonly outcome: 'done' | 'already'
  /** What was written of it, one for each source: a process with several daemons has a node for each. None with `already`. */
  readonly entries: readonly NodeAuditEntry[]
}

/**
 * What operators do to nodes that share projections by leases (`nodes: {}`). What is wanted of a name holds for each run of it, also after a
 * restart, until something else is wanted. Once all of them have been gone for a day it is forgotten. Rejects with `NodeUnknownError` where
 * there is none.
 */
export interface NodeOperations {
  /** By name: those that are alive, what each has and what is wanted of it; those that died less than an hour ago, or are not `open`. */
  list(): Promise<readonly ListedNode[]>
  /** It keeps what it has, and is given no more. */
  cordon(request: NodeRequest): Promise<NodeOutcome>
  /**
   * It gives back what it has, each after the batch at hand, and is given no more; others go on at once. The call does not wait for that: `list` tells when
   * it has nothing left. What no other node has a handler of stands still.
   */
  drain(request: NodeRequest): Promise<NodeOutcome>
  /** It takes part again as the others do. */
  open(request: NodeRequest): Promise<NodeOutcome>
  /** Who has wanted what, of which node, when and why: the newest first. */
  audit(request?: NodeAuditRequest): Promise<readonly NodeAuditEntry[]>
}

/** What an operator can do to a node. */
export type NodeOperationName = 'cordon' | 'drain' | 'open'

/** What is wanted of a node then. */
export const DESIRED: Readonly<Record<NodeOperationName, DesiredNode>> = {
  cordon: 'cordoned',
  drain: 'draining',
  open: 'open',
}

/** The part of a checkpoint store that they are kept in. */
export interface NodeStore {
  readonly name: string
  readonly leases?: { readonly control: NodeControl }
}

/** @param source - its nodes alone; `undefined`: those of every source */
export function nodeOperations({ name, leases }: NodeStore, source: string | undefined): NodeOperations {
  const control = (): NodeControl => {
    if (leases !== undefined) return leases.control
    throw new UnsupportedByStoreError(
      'checkpoints',
      name,
      'leases',
      'nodes that share projections are kept with the checkpoints',
      'keep the checkpoints in postgresCheckpoints',
    )
  }
  const list = async (): Promise<readonly ListedNode[]> =>
    [...(await control().list(source, neverAborted()))].sort(byName)
  const decide = async (operation: NodeOperationName, request: NodeRequest): Promise<NodeOutcome> => {
    const { node, who, why } = resolveNodeRequest(request)
    meantBy(node, await list())
    const decision = { source, node, desired: DESIRED[operation], who, why }
    const entries = await control().decide(decision, neverAborted())
    return { outcome: entries.length === 0 ? 'already' : 'done', entries }
  }
  return {
    list,
    cordon: async (request) => await decide('cordon', request),
    drain: async (request) => await decide('drain', request),
    open: async (request) => await decide('open', request),
    audit: async (request = {}) =>
      await control().audit({ source, ...resolveNodeAudit(request) }, neverAborted()),
  }
}

/** Every run that a name or an id means. Throws `NodeUnknownError`. */
export function meantBy(node: string, nodes: readonly ListedNode[]): readonly ListedNode[] {
  const meant = nodes.filter((each) => each.id === node || each.name === node)
  if (meant.length > 0) return meant
  throw new NodeUnknownError(node, [...new Set(nodes.map((each) => each.name))])
}

function byName(a: ListedNode, b: ListedNode): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  return a.id < b.id ? -1 : 1
}
