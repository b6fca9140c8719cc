import type { Gap } from '@tidemark/core/adapter'
import type { Bind } from '../statement.ts'

/** Where each of the runs begins or ends, the lowest first, as an array in SQL. */
export function boundsSql(runs: readonly Gap<bigint>[], end: keyof Gap<bigint>, bind: Bind): string {
  return bind('bigint[]', `array[${runs.map((run) => run[end]).join(', ')}]::bigint[]`)
}

/** Whether a position is in one of the runs. The one that it may be in is found by a search in halves. */
export function isInRunsSql(position: string, runs: readonly Gap<bigint>[], bind: Bind): string {
  const ends = boundsSql(runs, 'to', bind)
  return `${position} <= (${ends})[width_bucket(${position}::bigint, ${boundsSql(runs, 'from', bind)})]`
}
