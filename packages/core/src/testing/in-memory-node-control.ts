import type {
  DesiredNode,
  ListedNode,
  NodeAuditEntry,
  NodeAuditFilter,
  NodeControl,
  NodeDecision,
} from '../ports/node-control.ts'

/** A node, as far as operators may want something of it. */
export interface DecidedNode extends Pick<ListedNode, 'id' | 'name' | 'source' | 'decision'> {
  readonly desired: DesiredNode
}

interface NodeControlParts {
  /** Those that `list` tells. */
  readonly listed: () => readonly ListedNode[]
  readonly all: () => readonly DecidedNode[]
  readonly change: (id: string, to: Pick<DecidedNode, 'desired' | 'decision'>) => void
  /** Tells those that are present. */
  readonly tell: (source: string) => void
  readonly nowMs: () => number
}

/** What operators want of nodes in memory. */
export class InMemoryNodeControl implements NodeControl {
  readonly #parts: NodeControlParts
  readonly #audit: NodeAuditEntry[] = []

  constructor(parts: NodeControlParts) {
    this.#parts = parts
  }

  async list(source: string | undefined, signal: AbortSignal): Promise<readonly ListedNode[]> {
    signal.throwIfAborted()
    return this.#parts.listed().filter((node) => source === undefined || node.source === source)
  }

  async decide(
    { source, node, desired, who, why }: NodeDecision,
    signal: AbortSignal,
  ): Promise<readonly NodeAuditEntry[]> {
    signal.throwIfAborted()
    const meant = this.#parts
      .all()
      .filter(
        (row) => (source === undefined || row.source === source) && (row.id === node || row.name === node),
      )
    const atMs = this.#parts.nowMs()
    return [...new Set(meant.map((row) => row.source))].flatMap((of) => {
      const changed = meant.filter((row) => row.source === of && row.desired !== desired)
      for (const { id } of changed) this.#parts.change(id, { desired, decision: { who, why, sinceMs: atMs } })
      this.#parts.tell(of)
      const [first] = changed
      if (first === undefined) return []
      const runs = changed.map(({ id }) => id)
      const id = BigInt(this.#audit.length + 1)
      const entry = { id, source: of, node: first.name, runs, desired, who, why, atMs }
      this.#audit.push(entry)
      return [entry]
    })
  }

  async audit(
    { source, node, before, limit }: NodeAuditFilter,
    signal: AbortSignal,
  ): Promise<readonly NodeAuditEntry[]> {
    signal.throwIfAborted()
    return this.#audit
      .filter((entry) => source === undefined || entry.source === source)
      .filter((entry) => node === undefined || entry.node === node)
      .filter((entry) => before === undefined || entry.id < before)
      .reverse()
      .slice(0, limit)
  }
}
