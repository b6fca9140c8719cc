import { deferred } from '../kernel/deferred.ts'
import type {
  Claim,
  ClaimRequest,
  Cluster,
  Lease,
  Leases,
  NodeReport,
  Presence,
  PresenceRequest,
  ReleaseRequest,
  RenewRequest,
  StoredNode,
} from '../ports/leases.ts'
import type { ListedNode } from '../ports/node-control.ts'
import { type Unit, unitKey } from '../ports/unit.ts'
import { type DecidedNode, InMemoryNodeControl } from './in-memory-node-control.ts'

export interface InMemoryLeasesParts {
  /** The rows of units. */
  readonly units: () => Iterable<{ readonly unit: Unit; readonly source: string }>
  /** Whether somebody works on the row of that unit. */
  readonly isBusy: (key: string) => boolean
  readonly nowMs: () => number
}

interface NodeRow extends NodeReport, DecidedNode {
  readonly expiresAtMs: number
  readonly hasLeft: boolean
}

interface Owned {
  readonly owner: string | undefined
  readonly fence: bigint
}

const UNOWNED: Owned = { owner: undefined, fence: 0n }

/** Leases in memory. What the methods of the port do, they do at once, so that a model may choose when that is. */
export class InMemoryLeases implements Leases {
  readonly #parts: InMemoryLeasesParts
  readonly #nodes = new Map<string, NodeRow>()
  readonly #owned = new Map<string, Owned>()
  readonly #presences = new Map<string, { readonly which: string; readonly isHere: boolean }>()
  readonly #listening = new Map<string, Pick<PresenceRequest, 'source' | 'onHint'>>()
  #presencesKept = 0
  readonly control: InMemoryNodeControl = new InMemoryNodeControl({
    listed: () => this.#listed(),
    all: () => [...this.#nodes.values()],
    change: (id, to) => {
      const row = this.#nodes.get(id)
      if (row) this.#nodes.set(id, { ...row, ...to })
    },
    tell: (source) => this.#tell(source, undefined),
    nowMs: () => this.#parts.nowMs(),
  })

  constructor(parts: InMemoryLeasesParts) {
    this.#parts = parts
  }

  async renew({ node, leaseMs, signal }: RenewRequest): Promise<Cluster> {
    signal.throwIfAborted()
    return this.renewNow(node, leaseMs)
  }

  async claim({ node, claims, signal }: ClaimRequest): Promise<readonly Lease[]> {
    signal.throwIfAborted()
    return this.claimNow(node, claims)
  }

  async release({ node, leases, signal }: ReleaseRequest): Promise<void> {
    signal.throwIfAborted()
    this.releaseNow(node, leases)
    this.#hint(node)
  }

  async leave(node: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.leaveNow(node)
    this.#hint(node)
  }

  async presence({ node, source, onHint, signal }: PresenceRequest): Promise<Presence> {
    signal.throwIfAborted()
    this.keepPresence(node)
    const ended = deferred()
    this.#listening.set(node, { source, onHint })
    this.#hint(node)
    const end = (): void => {
      this.#listening.delete(node)
      this.endPresence(node)
      this.#hint(node)
      ended.resolve()
    }
    signal.addEventListener('abort', end, { once: true })
    return { isSeen: true, ended: ended.promise }
  }

  renewNow(node: NodeReport, leaseMs: number): Cluster {
    const row = this.#nodes.get(node.id)
    if (!row?.hasLeft) {
      const { desired, decision } = row ?? this.#newestOf(node)
      const expiresAtMs = this.#parts.nowMs() + leaseMs
      this.#nodes.set(node.id, { ...node, desired, decision, hasLeft: false, expiresAtMs })
    }
    return this.#cluster(node.source)
  }

  claimNow(node: string, claims: readonly Claim[]): readonly Lease[] {
    const source = this.#nodes.get(node)?.source
    if (!this.#isAlive(node)) return []
    const ofSource = new Set([...this.#units(source)].map(unitKey))
    return claims.flatMap(({ unit, fence: seen, gone }) => {
      const key = unitKey(unit)
      const { owner, fence } = this.#of(key)
      if (!ofSource.has(key) || fence !== seen || this.#parts.isBusy(key)) return []
      if (owner !== undefined && this.#isAlive(owner) && !this.#isGone(owner, gone)) return []
      const grown = fence + 1n
      this.#owned.set(key, { owner: node, fence: grown })
      return [{ unit, fence: grown }]
    })
  }

  releaseNow(node: string, leases: readonly Lease[]): void {
    for (const { unit, fence } of leases) {
      const owned = this.#of(unitKey(unit))
      if (owned.owner === node && owned.fence === fence) {
        this.#owned.set(unitKey(unit), { ...owned, owner: undefined })
      }
    }
  }

  leaveNow(node: string): void {
    const row = this.#nodes.get(node)
    if (row) this.#nodes.set(node, { ...row, hasLeft: true, expiresAtMs: this.#parts.nowMs() })
    for (const [key, owned] of this.#owned) {
      if (owned.owner === node) this.#owned.set(key, { ...owned, owner: undefined })
    }
    this.endPresence(node)
  }

  keepPresence(node: string): void {
    this.#presences.set(node, { which: String(++this.#presencesKept), isHere: true })
  }

  endPresence(node: string): void {
    const presence = this.#presences.get(node)
    if (presence) this.#presences.set(node, { ...presence, isHere: false })
  }

  /** Whether a checkpoint may move under that fence. */
  isNewest(key: string, fence: bigint): boolean {
    return this.#of(key).fence === fence
  }

  expiresAtMs(node: string): number {
    return this.#nodes.get(node)?.expiresAtMs ?? Number.NEGATIVE_INFINITY
  }

  ownerOf(key: string): string | undefined {
    return this.#of(key).owner
  }

  fenceOf(key: string): bigint {
    return this.#of(key).fence
  }

  #hint(from: string): void {
    this.#tell(this.#nodes.get(from)?.source, from)
  }

  #tell(source: string | undefined, from: string | undefined): void {
    for (const [node, listening] of this.#listening) {
      if (node !== from && listening.source === source) listening.onHint()
    }
  }

  /** The one of that name that was alive last. */
  #newestOf({ source, name }: NodeReport): Pick<NodeRow, 'desired' | 'decision'> {
    const [newest] = [...this.#nodes.values()]
      .filter((row) => row.source === source && row.name === name)
      .sort((a, b) => b.expiresAtMs - a.expiresAtMs)
    return newest ?? { desired: 'open', decision: undefined }
  }

  #listed(): readonly ListedNode[] {
    const rows = [...this.#nodes.values()].filter(({ hasLeft, desired }) => !hasLeft || desired !== 'open')
    return rows.map(({ id, name, source, capacity, isLeaving, desired, decision }) => ({
      ...{ id, name, source, capacity, isLeaving, desired, decision },
      isAlive: this.#isAlive(id),
      presence: this.#presenceOf(id).is,
      units: [...this.#units(source)].filter((unit) => this.#of(unitKey(unit)).owner === id),
    }))
  }

  #cluster(source: string): Cluster {
    const nodes = [...this.#nodes.values()].filter((row) => row.source === source && !row.hasLeft)
    return {
      nodes: nodes.map(({ hasLeft: _left, expiresAtMs: _expires, decision: _decision, ...node }) => ({
        ...node,
        isAlive: this.#isAlive(node.id),
        presence: this.#presenceOf(node.id),
      })),
      leases: [...this.#units(source)].map((unit) => ({ unit, ...this.#of(unitKey(unit)) })),
    }
  }

  *#units(source: string | undefined): Iterable<Unit> {
    for (const row of this.#parts.units()) if (row.source === source) yield row.unit
  }

  #of(key: string): Owned {
    return this.#owned.get(key) ?? UNOWNED
  }

  #isAlive(node: string): boolean {
    return (this.#nodes.get(node)?.expiresAtMs ?? Number.NEGATIVE_INFINITY) > this.#parts.nowMs()
  }

  #isGone(node: string, which: string | undefined): boolean {
    const presence = this.#presences.get(node)
    return presence?.isHere === false && presence.which === which
  }

  #presenceOf(node: string): StoredNode['presence'] {
    const presence = this.#presences.get(node)
    if (presence === undefined) return { is: 'unknown' }
    return presence.isHere ? { is: 'here' } : { is: 'gone', which: presence.which }
  }
}
