import { INSTRUMENTS } from '@tidemark/core'
import {
  acrossReplicas,
  type CounterName,
  type GaugeName,
  type HistogramName,
  type InstrumentName,
  type Matchers,
  NOT_HISTORICAL,
} from './names.ts'

export interface Query {
  readonly expr: string
  readonly legend: string
}

export const perSource = (legend: string, expr: string): Query => ({
  legend: `{{source}} ${legend}`.trim(),
  expr,
})

export const perProjection = (expr: string, legend = '{{projection_name}}'): Query => ({ legend, expr })

const WINDOW = '$__rate_interval'

function selector(name: InstrumentName, suffix: string, matchers: Matchers): string {
  const ofVariables = ['job=~"$job"']
  if ('projection_name' in INSTRUMENTS[name].labels) ofVariables.push('projection_name=~"$projection"')
  return `\${prefix}${name}${suffix}{${[...ofVariables, ...matchers].join(', ')}}`
}

export function gauge(name: GaugeName, matchers: Matchers = []): string {
  return selector(name, '', matchers)
}

/** A gauge, the replicas of each `by` made one, without those that OpenTelemetry shows as unknown. */
export function across(name: GaugeName, by: string): string {
  const known = INSTRUMENTS[name].whenEnded === -1 ? ' >= 0' : ''
  return `${acrossReplicas(name)} by (${by}) (${gauge(name)}${known})`
}

/** The same of a gauge that each shard of a projection has: of its shards the worst. */
export function ofWorstShard(name: GaugeName, worst: 'min' | 'max'): string {
  return `${worst} by (projection_name) (${across(name, 'projection_name, shard')})`
}

/** A counter's rate a second, or its `increase` a window, under the names of both backends. */
export function counted(
  how: 'rate' | 'increase',
  name: CounterName,
  by: string,
  matchers: Matchers = [],
  window: string = WINDOW,
): string {
  const over = (suffix: string): string => `${how}(${selector(name, suffix, matchers)}[${window}])`
  return `${acrossReplicas(name)} by (${by}) (${over('')} or ${over('_total')})`
}

/** Replicas are added up here whatever the scope: a quantile of the same distribution stays the same. */
export function quantile(q: number, name: HistogramName, by: string): string {
  return `histogram_quantile(${q}, sum by (le, ${by}) (rate(${selector(name, '_bucket', [])}[${WINDOW}])))`
}

export function quantiles(name: HistogramName, by: string, legend: string): readonly Query[] {
  return [0.5, 0.95, 0.99].map((q) => ({ expr: quantile(q, name, by), legend: `${legend} p${q * 100}` }))
}

export function average(name: HistogramName, by: string): string {
  const rate = (suffix: string): string => `sum by (${by}) (rate(${selector(name, suffix, [])}[${WINDOW}]))`
  return `${rate('_sum')} / ${rate('_count')}`
}

/** The totals stored with the checkpoints. */
export function recordedSkips(reason: string): string {
  return `max by (projection_name, reason) (${gauge('skipped_events_recorded', [reason])})`
}

/** Skips within a window, from the stored totals: right across restarts and from pod to pod. */
export function skippedWithin(window: string): string {
  const before = `min_over_time(${gauge('skipped_events_recorded', [NOT_HISTORICAL])}[${window}])`
  return `${recordedSkips(NOT_HISTORICAL)} - min by (projection_name, reason) (${before})`
}
