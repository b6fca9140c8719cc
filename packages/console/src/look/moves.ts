import { unitKey, unitName } from '@tidemark/core/adapter'
import type { NodeMove } from '../protocol.ts'
import type { SourceNodes } from '../status/nodes.ts'

const MOST_KEPT = 200

interface Owned {
  readonly unit: string
  readonly node: string
}

/** Which unit has gone from which node to which, as far as looks have seen it. */
export class Moves {
  #owners: ReadonlyMap<string, Owned> | undefined
  #moves: readonly NodeMove[] = []

  add(sources: readonly (SourceNodes | undefined)[], atMs: number): void {
    const now = ownersOf(sources)
    const before = this.#owners
    this.#owners = now
    if (before === undefined) return
    const keys = new Set([...before.keys(), ...now.keys()])
    const found = [...keys].flatMap((key): NodeMove[] => {
      const [from, to] = [before.get(key), now.get(key)]
      const unit = to?.unit ?? from?.unit
      if (unit === undefined || from?.node === to?.node) return []
      return [{ atMs, unit, from: from?.node ?? null, to: to?.node ?? null }]
    })
    this.#moves = [...found, ...this.#moves].slice(0, MOST_KEPT)
  }

  /** The newest first. */
  all(): readonly NodeMove[] {
    return this.#moves
  }
}

function ownersOf(sources: readonly (SourceNodes | undefined)[]): ReadonlyMap<string, Owned> {
  const owners = new Map<string, Owned>()
  for (const { name, units, isAlive } of sources.flatMap((source) => source?.nodes ?? [])) {
    if (!isAlive) continue
    for (const unit of units) owners.set(unitKey(unit), { unit: unitName(unit), node: name })
  }
  return owners
}
