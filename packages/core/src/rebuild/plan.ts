import type { ControlledUnit } from '../ports/control.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import { unitName } from '../ports/unit.ts'

/** A version of a projection, as its row says. */
type Version = Pick<ControlledUnit, 'unit' | 'role' | 'desired' | 'position'>

/** What follows for a version that is to become the live one. */
export type SwitchPlan<P> =
  /** It is. */
  | { readonly kind: 'done' }
  /** Both stand at one position. */
  | { readonly kind: 'switch' }
  /** It handles what the live version has and it has not, and then both stand there. */
  | { readonly kind: 'come_up'; readonly to: P }
  /** It stands still until the live version has come up. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'refuse'; readonly why: string }

/**
 * What follows when a version is to become the live one. Pure. With both rows locked this is the decision; before that, it
 * says whether to begin at all.
 *
 * @param live - `undefined`: there is none any more
 */
export function planSwitch<P>(
  order: PositionOrder<P>,
  own: Version,
  live: Version | undefined,
): SwitchPlan<P> {
  if (own.role === 'live') return { kind: 'done' }
  if (own.role === 'retired' || own.desired === 'paused') {
    const state = own.role === 'retired' ? 'retired' : 'paused'
    return { kind: 'refuse', why: `it is ${state}, at ${at(own)}; resume it first` }
  }
  if (live === undefined) return { kind: 'switch' }
  const parse = ({ position }: Version): P | undefined =>
    position === undefined ? undefined : order.parse(position)
  const [mine, theirs] = [parse(own), parse(live)]
  if (isReached(order, mine, theirs)) {
    return theirs === undefined || isReached(order, theirs, mine)
      ? { kind: 'switch' }
      : { kind: 'come_up', to: theirs }
  }
  if (live.desired === 'running') return { kind: 'wait' }
  return {
    kind: 'refuse',
    why:
      `the live version, "${unitName(live.unit)}", is paused at ${at(live)}, and this one stands at ${at(own)}; resume that one, ` +
      'or move it there',
  }
}

function at({ position }: Version): string {
  return position ?? 'no position yet'
}
