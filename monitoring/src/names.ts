import {
  type Aggregator,
  type CounterName,
  type GaugeName,
  type HistogramName,
  INSTRUMENTS,
  type InstrumentName,
} from '@tidemark/core'

export type { Aggregator, CounterName, GaugeName, HistogramName, InstrumentName }

/** Matchers of labels, as PromQL writes them: `state=~"paused|stopped"`. */
export type Matchers = readonly string[]

/** How the series that several replicas export of one metric become one. */
export function acrossReplicas(name: InstrumentName): Aggregator {
  return INSTRUMENTS[name].aggregator
}

/** Not a loss to alarm on: it lay below the head when the projection first started. */
export const NOT_HISTORICAL = 'reason!="historical_gap"'

/** Skips of wrapped subscriptions: no total is stored of them, only the processes count. */
export const NOT_RECORDED: string = `reason=~"${(INSTRUMENTS.skipped_events.labels.reason as readonly string[]).filter((reason) => !INSTRUMENTS.skipped_events_recorded.labels.reason?.includes(reason)).join('|')}"`

export function block(expression: string): string {
  return expression
    .trim()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
