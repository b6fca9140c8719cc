import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireInteger } from '../kernel/validation.ts'
import { dealByNumber } from '../ownership/by-number.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'
import { type DealtTo, isDealtElsewhere } from '../projection/status.ts'

/** Which of several processes this one is. */
export interface NodesOptions {
  /** The number of this process among them, from 0: of the pods of a StatefulSet, their ordinal. */
  readonly index: number
  /** How many they are. */
  readonly of: number
}

const NODES_OPTIONS: Readonly<Record<keyof NodesOptions, true>> = { index: true, of: true }

export function requireNodes(nodes: NodesOptions): void {
  requireKnownOptions(nodes, NODES_OPTIONS, 'nodes')
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
}

/** To which node each unit is dealt, in their order; `undefined` where they are not dealt out. */
export function dealtTo(
  units: readonly Unit[],
  nodes: NodesOptions | undefined,
): readonly (DealtTo | undefined)[] {
  if (nodes === undefined) return units.map(() => undefined)
  const { index: own, of } = nodes
  const dealing = dealByNumber(units, of)
  return units.map((unit) => {
    const index = dealing.get(unitKey(unit)) ?? 0
    return { index, of, isHere: index === own }
  })
}

/** What the log says of it when the daemon starts. */
export function describeDealing(
  { index: own, of }: NodesOptions,
  dealt: readonly { readonly unit: Unit; readonly dealtTo: DealtTo | undefined }[],
): string {
  const isElsewhere = ({ dealtTo }: (typeof dealt)[number]): boolean => isDealtElsewhere(dealtTo)
  const here = dealt.filter((each) => !isElsewhere(each)).map(({ unit }) => `"${unitName(unit)}"`)
  const elsewhere = dealt
    .filter(isElsewhere)
    .map(({ unit, dealtTo }) => `"${unitName(unit)}" (node ${dealtTo?.index})`)
  return (
    `tidemark: this is node ${own} of ${of}, numbered from 0; dealt to it: ${here.join(', ') || 'nothing'}; ` +
    `dealt to others: ${elsewhere.join(', ') || 'nothing'}`
  )
}
