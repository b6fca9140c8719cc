import type { FailedBatch } from '../failures/classify.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { ReadPage } from '../reading/own-pages.ts'

/** Where a page is, for whoever is told that it has failed. */
export function failedBatch<P, E>(
  { order: { format } }: Pick<EventSource<P, E>, 'order'>,
  page: ReadPage<P, E>,
): FailedBatch {
  return {
    events: page.events.length,
    firstPosition: format(page.positions[0] ?? page.through),
    lastPosition: format(page.positions.at(-1) ?? page.through),
    eventTypes: [...new Set(page.types)],
  }
}
