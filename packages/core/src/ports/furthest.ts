import type { ControlledUnit } from './control.ts'
import { laterOf, type PositionOrder } from './position.ts'

type Stored = Pick<ControlledUnit, 'role' | 'position' | 'furthest'>

/** How far that version has come while it was live, as a text of the order; `undefined`: it never was, or nowhere. */
export function furthestAsLive<P>(
  order: PositionOrder<P>,
  { role, position, furthest }: Stored,
): string | undefined {
  // What another version has passed beside the live one, nobody but the live one has passed for its readers.
  return role === 'live' ? later(order, furthest, position) : furthest
}

/** The same of a version that follows that live one at its position. */
export function furthestAfter<P>(
  order: PositionOrder<P>,
  own: Stored,
  live: Stored | undefined,
): string | undefined {
  return later(order, furthestAsLive(order, own), live && furthestAsLive(order, live))
}

function later<P>(order: PositionOrder<P>, a: string | undefined, b: string | undefined): string | undefined {
  const parse = (text: string | undefined): P | undefined =>
    text === undefined ? undefined : order.parse(text)
  const furthest = laterOf(order, parse(a), parse(b))
  return furthest === undefined ? undefined : order.format(furthest)
}
