import type { HighWaterReading } from '../ports/event-source.ts'
import type { Phase, Standing } from './standing.ts'

/** Those in which it goes on to read by itself. */
const READS: ReadonlySet<Phase> = new Set<Phase>(['following', 'loading', 'applying'])

/** Up to where a projection has everything handled, and reads on. `undefined`: it does not read, or not in this incarnation. Pure. */
export function readsAfter<P>(
  { phase, cursor, cursorIncarnation }: Pick<Standing<P>, 'phase' | 'cursor' | 'cursorIncarnation'>,
  reading: HighWaterReading<P> | undefined,
): P | undefined {
  return READS.has(phase) && reading?.incarnation === cursorIncarnation ? cursor : undefined
}
