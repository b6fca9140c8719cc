import type { CheckpointStore, Daemon, EventSource } from '@tidemark/core'
import { vi } from 'vitest'
import { type Event, projectionOf, type Rig, recording, stateOf } from './rig.ts'

export const NAMES = ['orders', 'stock', 'mails', 'invoices', 'search']
export const LEASE_MS = 10_000

export interface Node {
  readonly daemon: Daemon<bigint>
  readonly lines: readonly string[]
  seen(name: string): readonly bigint[]
  has(name: string): boolean
}

/** Nodes on the same store, each with what its projections were given. */
export function nodesOf(parts: Rig) {
  // The clock of the store.
  vi.spyOn(Date, 'now').mockImplementation(() => parts.clock.nowMs())
  return (
    name: string,
    options: Parameters<typeof recording>[1] & {
      store?: CheckpointStore<undefined>
      source?: EventSource<bigint, Event>
    } = {},
  ): Node => {
    const { store = parts.checkpoints, source = parts.events, ...more } = options
    const projections = NAMES.map((each) => recording(each, more))
    const lines: string[] = []
    const say = (line: string) => lines.push(line)
    const logger = { info: say, warn: say, error: say }
    const nodes = { name, leaseMs: LEASE_MS }
    const daemon = parts.daemon(projections, { nodes, logger, checkpoints: store, source })
    return {
      daemon,
      lines,
      seen: (of) => projections.find((projection) => projection.name === of)?.seen ?? [],
      has: (of) => projectionOf(daemon, of).lease?.isHere === true && stateOf(daemon, of) === 'live',
    }
  }
}

export const numbers = (count: number): bigint[] =>
  Array.from({ length: count }, (_, index) => BigInt(index + 1))
export const countOf = ({ has }: Node): number => NAMES.filter(has).length

export async function settled({ clock }: Rig, nodes: readonly Node[]): Promise<void> {
  await clock.until(() => NAMES.every((name) => nodes.filter(({ has }) => has(name)).length === 1))
}

export function handledBy(nodes: readonly Node[], name: string): readonly bigint[] {
  return nodes.flatMap(({ seen }) => seen(name)).toSorted((a, b) => Number(a - b))
}
