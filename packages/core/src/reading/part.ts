import { EventMappingError } from '../kernel/errors.ts'
import type { KeySlots, Page } from '../ports/event-source.ts'
import type { PositionOrder } from '../ports/position.ts'

/** Which events are a shard's: those that its source hands out for a column, or those whose key says so. */
export type Part<E> = { readonly slots: KeySlots } | { readonly isOwn: (event: E) => boolean }

/** What is asked of the source for it; `undefined`: nothing. */
export function keySlotsOf<E>(part: Part<E> | undefined): KeySlots | undefined {
  return part !== undefined && 'slots' in part ? part.slots : undefined
}

/** The events of a page that are the shard's, where its source has handed out those of other shards too. Pure. */
export function ownEvents<P, E>(
  order: Pick<PositionOrder<P>, 'compare' | 'format'>,
  page: Page<P, E>,
  part: Part<E> | undefined,
): Page<P, E> {
  if (part === undefined || 'slots' in part) return page
  const own = page.events.map((event, index) => {
    try {
      return part.isOwn(event)
    } catch (error) {
      throw withoutKey(order, page, index, error)
    }
  })
  const kept = <T>(values: readonly T[]): readonly T[] => values.filter((_, index) => own[index])
  const { types, appendTimesMs } = page
  return {
    ...page,
    events: kept(page.events),
    positions: kept(page.positions),
    ...(types === undefined ? {} : { types: kept(types) }),
    ...(appendTimesMs === undefined ? {} : { appendTimesMs: kept(appendTimesMs) }),
  }
}

/** No shard passes it: nobody knows whose it is. */
function withoutKey<P>(
  { compare, format }: Pick<PositionOrder<P>, 'compare' | 'format'>,
  { positions, types }: Pick<Page<P, unknown>, 'positions' | 'types'>,
  index: number,
  error: unknown,
): unknown {
  const position = positions[index]
  if (position === undefined) return error
  const sharing = positions.filter((other) => compare(other, position) === 0).length
  return new EventMappingError(format(position), error, types?.[index], sharing)
}
