import { hostname } from 'node:os'
import { pid } from 'node:process'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, requireInteger, requireName, withoutUndefined } from '../kernel/validation.ts'
import { dealByNumber } from '../ownership/by-number.ts'
import { requireLeases } from '../ports/capabilities.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'
import { type DealtTo, isDealtElsewhere } from '../projection/status.ts'

/** Which of several processes this one is, or, with leases, how it takes part among them. */
export type NodesOptions = NumberedNodeOptions | LeasedNodeOptions

export interface NumberedNodeOptions {
  /** The number of this process among them, from 0: of the pods of a StatefulSet, their ordinal. */
  readonly index: number
  /** How many they are. */
  readonly of: number
}

export interface LeasedNodeOptions {
  /**
   * How long this node may work without a renewal, by the clock of the store, in milliseconds: from 1,000 to 600,000. It renews three
   * times as often. Others take over from a node that died as soon as they see that its connection is gone; where they cannot see that,
   * after so long.
   * - Raising it: a node that hangs, or dies behind a transaction pooler, is replaced later.
   * - Lowering it: more statements; a process that is held up for so long, as by a handler that keeps its event loop busy, loses its
   *   projections.
   * @default 10000
   */
  readonly leaseMs?: number
  /**
   * What people know this node by, in status and log, and name it by when they drain it (`operations.nodes`). Two nodes may have the same.
   * @default host name and process id
   */
  readonly name?: string
  /**
   * How much it takes: a node with 2 is given twice as many projections as one with 1.
   * @default 1
   */
  readonly capacity?: number
}

/** Where they are dealt out by number, or shared by leases. */
export type ResolvedNodes = NumberedNodeOptions | Required<LeasedNodeOptions>

const NUMBERED_OPTIONS: Readonly<Record<keyof NumberedNodeOptions, true>> = { index: true, of: true }
const LEASED_OPTIONS: Readonly<Record<keyof LeasedNodeOptions, true>> = {
  leaseMs: true,
  name: true,
  capacity: true,
}

const DEFAULT_LEASE_MS = 10_000
/** A renewal has a quarter of it to be answered. */
const SHORTEST_LEASE_MS = 1_000
const LONGEST_LEASE_MS = 600_000

export function resolveNodes(
  nodes: NodesOptions | undefined,
  store: { readonly name: string; readonly leases?: unknown },
): ResolvedNodes | undefined {
  if (nodes === undefined) return undefined
  if (typeof nodes !== 'object' || nodes === null) requireKnownOptions(nodes, LEASED_OPTIONS, 'nodes')
  return isNumbered(nodes) ? resolveNumbered(nodes) : resolveLeased(nodes, store)
}

export function isNumbered(nodes: NodesOptions): nodes is NumberedNodeOptions {
  return 'index' in nodes || 'of' in nodes
}

function resolveNumbered(nodes: NumberedNodeOptions): ResolvedNodes {
  requireKnownOptions(nodes, NUMBERED_OPTIONS, 'nodes')
  const { index, of } = nodes
  requireInteger('nodes.of', of, 1)
  requireInteger('nodes.index', index, 0)
  if (index >= of) {
    throw new InvalidOptionError(
      'nodes.index',
      `an integer from 0 to ${of - 1}, since nodes.of is ${of}`,
      index,
    )
  }
  return Object.freeze({ index, of })
}

function resolveLeased(
  nodes: LeasedNodeOptions,
  store: { readonly name: string; readonly leases?: unknown },
): ResolvedNodes {
  requireKnownOptions(nodes, LEASED_OPTIONS, 'nodes')
  const resolved = {
    leaseMs: DEFAULT_LEASE_MS,
    name: `${hostname()}/${pid}`,
    capacity: 1,
    ...withoutUndefined(nodes),
  }
  const { leaseMs, name, capacity } = resolved
  if (!Number.isSafeInteger(leaseMs) || leaseMs < SHORTEST_LEASE_MS || leaseMs > LONGEST_LEASE_MS) {
    const expected = `an integer from ${SHORTEST_LEASE_MS} to ${LONGEST_LEASE_MS}`
    throw new InvalidOptionError('nodes.leaseMs', expected, leaseMs)
  }
  requireName('nodes.name', name)
  requireAbove0('nodes.capacity', capacity)
  requireLeases('nodes', store)
  return Object.freeze(resolved)
}

/** To which node each unit is dealt, in their order; `undefined` where they are not dealt out. */
export function dealtTo(
  units: readonly Unit[],
  nodes: ResolvedNodes | undefined,
): readonly (DealtTo | undefined)[] {
  if (nodes === undefined || !isNumbered(nodes)) return units.map(() => undefined)
  const { index: own, of } = nodes
  const dealing = dealByNumber(units, of)
  return units.map((unit) => {
    const index = dealing.get(unitKey(unit)) ?? 0
    return { index, of, isHere: index === own }
  })
}

/** What the log says of it when the daemon starts. */
export function describeNodes(
  nodes: ResolvedNodes,
  dealt: readonly { readonly unit: Unit; readonly dealtTo: DealtTo | undefined }[],
): string {
  const isElsewhere = ({ dealtTo }: (typeof dealt)[number]): boolean => isDealtElsewhere(dealtTo)
  const here = dealt.filter((each) => !isElsewhere(each)).map(({ unit }) => `"${unitName(unit)}"`)
  if (!isNumbered(nodes)) {
    return (
      `tidemark: this is node "${nodes.name}", with leases of ${nodes.leaseMs} ms; it shares with others that have them: ` +
      here.join(', ')
    )
  }
  const elsewhere = dealt
    .filter(isElsewhere)
    .map(({ unit, dealtTo }) => `"${unitName(unit)}" (node ${dealtTo?.index})`)
  return (
    `tidemark: this is node ${nodes.index} of ${nodes.of}, numbered from 0; dealt to it: ${here.join(', ') || 'nothing'}; ` +
    `dealt to others: ${elsewhere.join(', ') || 'nothing'}`
  )
}
