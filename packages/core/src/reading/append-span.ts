import type { Page } from '../ports/event-source.ts'

/** When the first and the last event of a page were appended; `undefined` where the source does not know. */
export function appendSpan({ appendTimesMs }: Pick<Page<unknown, unknown>, 'appendTimesMs'>): {
  readonly firstMs: number | undefined
  readonly lastMs: number | undefined
} {
  return { firstMs: appendTimesMs?.[0], lastMs: appendTimesMs?.at(-1) }
}
