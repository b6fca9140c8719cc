/**
 * How one store orders its events. Everything in Tidemark that compares, prints or stores a position goes through it,
 * so a position is never squeezed into a lossy number.
 */
export interface PositionOrder<P> {
  /** Negative when `a` stands before `b`, 0 when they are the same position, positive otherwise. */
  compare(a: P, b: P): number
  /** Canonical text: two equal positions have equal texts (checkpoint stores compare texts). */
  format(position: P): string
  /** The inverse of `format`. Throws a `TypeError` on anything else. */
  parse(text: string): P
  /**
   * How many positions lie in `(from, to]`. Present only on *dense* orders, where every integer is handed out, so that
   * a missing one means something. On sparse orders (byte offsets) a distance is not a number of events.
   */
  distance?(from: P, to: P): bigint
  /** The position as a number for gauges, where that may lose its last digits. Nothing is decided by it. */
  approximate?(position: P): number
}

const INTEGER = /^(0|-?[1-9][0-9]*)$/

/** The order of a Postgres sequence or of a stream's revisions: dense `bigint`s. */
export const denseOrder: Required<PositionOrder<bigint>> = {
  compare: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
  format: (position) => position.toString(),
  parse: (text) => {
    if (!INTEGER.test(text))
      throw new TypeError(`expected an integer position, found ${JSON.stringify(text)}`)
    return BigInt(text)
  },
  distance: (from, to) => to - from,
  approximate: Number,
}

/** Whether it is one of this order: whatever `parse` takes. */
export function isPosition<P>(order: PositionOrder<P>, position: P): boolean {
  try {
    order.parse(order.format(position))
    return true
  } catch {
    return false
  }
}

/** The later of two positions, where `undefined` ("none yet") is below every position. */
export function laterOf<P>(order: PositionOrder<P>, a: P | undefined, b: P | undefined): P | undefined {
  if (a === undefined) return b
  if (b === undefined) return a
  return order.compare(a, b) < 0 ? b : a
}

/** The earlier of two positions, where `undefined` ("none yet") is below every position. */
export function earlierOf<P>(order: PositionOrder<P>, a: P | undefined, b: P | undefined): P | undefined {
  return isReached(order, a, b) ? a : b
}

/** Whether `position` has been reached by `reached`, where `undefined` ("none yet") is below every position. */
export function isReached<P>(
  order: PositionOrder<P>,
  position: P | undefined,
  reached: P | undefined,
): boolean {
  if (position === undefined) return true
  return reached !== undefined && order.compare(position, reached) <= 0
}
