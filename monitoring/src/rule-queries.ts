import { INSTRUMENTS } from '@tidemark/core'
import {
  type Aggregator,
  acrossReplicas,
  block,
  type CounterName,
  type GaugeName,
  type Matchers,
} from './names.ts'

/**
 * Labels that tell one installation from another and outlive a pod: an alert is one for each combination. Where one does
 * not exist, it is left out.
 */
const INSTALLATION = ['cluster', 'namespace', 'job'] as const
const REPLICA = ['instance', 'pod'] as const

export const ofProjection: string = [...INSTALLATION, 'projection_name'].join(', ')
/** The shards of a projection by themselves; one that is in none has no such label. */
export const ofShard: string = [...INSTALLATION, 'projection_name', 'shard'].join(', ')
export const ofSkips: string = [...INSTALLATION, 'projection_name', 'reason'].join(', ')
export const ofConsumer: string = [...INSTALLATION, 'consumer'].join(', ')
export const ofLosses: string = [...INSTALLATION, 'consumer', 'verdict'].join(', ')
export const ofSource: string = [...INSTALLATION, 'source'].join(', ')
export const ofReplica: string = [...INSTALLATION, 'source', ...REPLICA].join(', ')

/**
 * Selects a metric whatever its prefix, and with the `_total` of OpenMetrics and OpenTelemetry or without. That all its
 * labels are there keeps metrics of others out.
 */
function anyPrefix(name: CounterName | GaugeName, suffix: string, matchers: Matchers): string {
  const labels = Object.keys(INSTRUMENTS[name].labels).map((label) => `${label}!=""`)
  return `{${[`__name__=~".+${name}${suffix}"`, ...labels, ...matchers].join(', ')}}`
}

export function counter(name: CounterName, matchers: Matchers = []): string {
  return anyPrefix(name, '(_total)?', matchers)
}

export function gauge(name: GaugeName, matchers: Matchers = []): string {
  return anyPrefix(name, '', matchers)
}

/** OpenTelemetry shows -1 of what was known once and is not any more; a comparison leaves that out. */
export function known(name: GaugeName, matchers: Matchers = []): string {
  return `${gauge(name, matchers)} >= 0`
}

/**
 * By how much a counter rose. `increase` drops the metric's name, and two series that differ in nothing else are an
 * error; the name, kept as a label, tells them apart.
 */
export function increase(
  name: CounterName,
  by: string,
  window: string,
  matchers: Matchers = [],
  aggregate: Aggregator = acrossReplicas(name),
): string {
  const named = `label_replace(${counter(name, matchers)}, "metric", "$1", "__name__", "(.+)")`
  return `${aggregate} by (${by}) (\n${block(`increase(${named}[${window}])`)}\n)`
}

/** Of one process: all outcomes together, also of a counter that is not added up over replicas. */
export function increaseInProcess(name: CounterName, window: string, matchers: Matchers): string {
  return increase(name, ofReplica, window, matchers, 'sum')
}
