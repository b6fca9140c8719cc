import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { Statement } from '../statement.ts'

/** Events read by step 3; with them the mark runs right up to the gap of a slow writer. */
const WINDOW = 500
/** Positions looked at by step 3: rows that are not committed yet cost as much, and there may be millions of them. */
const WINDOW_POSITIONS = 5_000n

/** The visible positions that step 3 reads. */
export function windowOf(
  { sql: { table, position } }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  visibleAbove: bigint,
): Statement {
  return (bind) => `select ${position} from ${table}
         where ${position} > ${bind('bigint', `${visibleAbove}`)}
           and ${position} <= ${bind('bigint', `${visibleAbove + WINDOW_POSITIONS}`)}
         order by ${position} limit ${WINDOW}`
}

/** How far step 3 has looked, if it found these. */
export function windowEndOf(
  visibleAbove: bigint | undefined,
  visible: readonly bigint[],
): bigint | undefined {
  if (visibleAbove === undefined) return undefined
  return visible.length === WINDOW ? visible.at(-1) : visibleAbove + WINDOW_POSITIONS
}
