import { neverAborted } from '../kernel/deferred.ts'
import { hasCode } from '../kernel/errors.ts'
import type { ControlledUnit, OperatedState, OperationName, OperatorControl } from '../ports/control.ts'
import type { ListedNode } from '../ports/node-control.ts'
import { type Unit, unitKey } from '../ports/unit.ts'
import { type NodeRequest, resolveNodeRequest } from './node-requests.ts'
import { DESIRED, meantBy, type NodeOperationName, nodeOperations } from './nodes.ts'
import { createOperations } from './operations.ts'
import type { OperationsOptions } from './options.ts'
import type { MoveRequest, OperationRequest, ReshardRequest, ShardRequest, SkipRequest } from './requests.ts'

/** The operations that can be rehearsed, and what each is told. */
export interface RehearsedRequests<P> {
  readonly pause: OperationRequest
  readonly resume: OperationRequest
  readonly moveTo: MoveRequest<P>
  readonly skipNext: SkipRequest<P>
  readonly switchTo: OperationRequest & { readonly version: number }
  readonly retire: OperationRequest
  readonly forget: OperationRequest
  readonly rebuild: OperationRequest
  readonly reshard: ReshardRequest
  readonly split: ShardRequest
  readonly merge: ShardRequest
  readonly cancel: OperationRequest
}

/** What an operation would do to one unit. */
export interface Rehearsed {
  /** Of a `reshard`, `split` or `merge`: one that would be made. */
  readonly unit: Unit
  /** As it stands now; of one that would be made, that in whose place it would be. */
  readonly found: ControlledUnit
  /** Of a `split` and a `merge` too: `reshard`. */
  readonly operation: OperationName
  /** As its row would be then; `undefined`: it would be deleted. Of what a node is asked to do, as it stands. */
  readonly to: OperatedState | undefined
  /**
   * Nothing is changed at once: the node that runs it would be asked, and decides by what it finds then. Of a `reshard`: shards stand
   * apart, and those that are ahead would wait for the others first.
   */
  readonly isAsked: boolean
}

const OF_NODES: ReadonlySet<keyof RehearsedRequests<unknown>> = new Set(['rebuild', 'switchTo', 'skipNext'])

/**
 * What an operation would do if it was asked for now, by the very decisions that it takes itself. Writes nothing, locks nothing and
 * waits for nothing. Nothing: it is so already, or asked for already. Rejects with the errors of the operation, `OperationRefusedError`
 * among them.
 *
 * @typeParam P - position
 */
export async function rehearse<P, N extends keyof RehearsedRequests<P>>(
  options: OperationsOptions<P>,
  name: N,
  request: RehearsedRequests<P>[N],
): Promise<readonly Rehearsed[]> {
  const { checkpoints, source } = options
  const { control } = checkpoints
  // Refuses what cannot be asked at all.
  if (control === undefined) createOperations(options)
  const would: Rehearsed[] = []
  const rehearsal = createOperations<P>({
    checkpoints: {
      name: checkpoints.name,
      progress: (of, signal) => checkpoints.progress(of, signal),
      ...(checkpoints.deadLetters === undefined ? {} : { deadLetters: checkpoints.deadLetters }),
      ...(control === undefined ? {} : { control: rehearsing(control, OF_NODES.has(name), would) }),
    },
    ...(source === undefined ? {} : { source }),
  })
  const operation = rehearsal[name] as (asked: RehearsedRequests<P>[N]) => Promise<unknown>
  try {
    await operation.call(rehearsal, { ...request, timeoutMs: 1 })
  } catch (error) {
    if (!hasCode(error, ASKED)) throw error
  }
  return would
}

/**
 * What an operation on a node would do if it was asked for now: the runs of which something else would be wanted, as they stand. Writes
 * nothing. Nothing: that is wanted of all of them already. Rejects with the errors of the operation.
 *
 * @typeParam P - position
 */
export async function rehearseNode<P>(
  { checkpoints, source }: OperationsOptions<P>,
  operation: NodeOperationName,
  request: NodeRequest,
): Promise<readonly ListedNode[]> {
  const { node } = resolveNodeRequest(request)
  const nodes = await nodeOperations(checkpoints, source?.name).list()
  return meantBy(node, nodes).filter(({ desired }) => desired !== DESIRED[operation])
}

const versionsOf = (units: readonly ControlledUnit[]): readonly number[] => [
  ...new Set(units.map(({ unit }) => unit.version)),
]

const ASKED = 'TIDEMARK_REHEARSED'

/** Ends an operation that would wait for the answer of a node now. */
class AskedOfNode extends Error {
  readonly code = ASKED
}

/** Decides as the store's own does, and writes down in `would` what would be changed. */
function rehearsing(control: OperatorControl, isOfNode: boolean, would: Rehearsed[]): OperatorControl {
  const unitsOf = async ({ projection }: Pick<Unit, 'projection'>): Promise<readonly ControlledUnit[]> =>
    await control.units({ projection }, neverAborted())
  return {
    units: (filter, signal) => control.units(filter, signal),
    audit: (filter, signal) => control.audit(filter, signal),
    change: async (unit, decide) => {
      const found = (await unitsOf(unit)).find((each) => unitKey(each.unit) === unitKey(unit))
      const change = decide(found)
      if (found !== undefined && change !== undefined) {
        const isAsked = 'ask' in change
        const operation = isAsked ? change.ask.operation : change.operation
        would.push({ unit, found, operation, to: isAsked ? found : change.to, isAsked })
      }
      if (isOfNode && found !== undefined) throw new AskedOfNode()
      return undefined
    },
    holdBounds: async () => {},
    reshard: async ({ projection, version }, decide) => {
      const units = await unitsOf({ projection })
      const found = units
        .filter(({ unit }) => unit.version === version)
        .toSorted((a, b) => a.unit.slots.from - b.unit.slots.from)
      const change = decide(found, versionsOf(units))
      if (change === undefined) return []
      if ('bounds' in change) {
        for (const each of found) {
          would.push({ unit: each.unit, found: each, operation: 'reshard', to: each, isAsked: true })
        }
        throw new AskedOfNode()
      }
      for (const { slots, heirOf, to } of change.made) {
        const heir = found.find(({ unit }) => unit.slots.from === heirOf.from)
        if (heir === undefined) throw new TypeError('a shard is made of one that is there')
        would.push({
          unit: { projection, version, slots },
          found: heir,
          operation: 'reshard',
          to,
          isAsked: false,
        })
      }
      return []
    },
  }
}
