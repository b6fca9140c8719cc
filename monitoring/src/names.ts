import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  INSTRUMENTS,
  type InstrumentName,
  SKIP_REASONS,
} from '@tidemark/core'

export type { CounterName, GaugeName, HistogramName, InstrumentName }

/** Matchers of labels, as PromQL writes them: `state=~"paused|stopped"`. */
export type Matchers = readonly string[]

/**
 * How series of one metric become one per `by`, replicas aside. Each replica sees the same store, so what they count of
 * it is the same and must not be added up; what they do is not.
 */
export function acrossReplicas(name: InstrumentName): 'max' | 'sum' {
  return INSTRUMENTS[name].scope === 'store' ? 'max' : 'sum'
}

/** Not a loss to alarm on: it lay below the head when the projection first started. */
export const NOT_HISTORICAL = 'reason!="historical_gap"'

/** Skips of wrapped subscriptions: no total is stored of them, only the processes count. */
export const NOT_RECORDED: string = `reason=~"${SKIP_REASONS.filter((reason) => !INSTRUMENTS.skipped_events_recorded.labels.reason?.includes(reason)).join('|')}"`

export function block(expression: string): string {
  return expression
    .trim()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
