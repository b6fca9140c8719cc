/** One metric. Names are those of a Prometheus scrape without the prefix. */
export interface Instrument {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** UCUM. In braces what is counted; never `1`, which collectors turn into a suffix `_ratio`. */
  readonly unit: string
  /**
   * Who exports it: `store`, each process that polls (dashboards take `max`, never a sum over replicas); `projection`,
   * the process that owns it; `process`, each process on its own.
   */
  readonly scope: 'store' | 'projection' | 'process'
  /**
   * How the values that several processes export of one series become one: by prom-client's `AggregatorRegistry` under
   * `node:cluster`, and on the dashboard. `max` and `min` where each process shows the same thing, `sum` where each shows
   * a part of its own.
   */
  readonly aggregator: Aggregator
  /**
   * Of a gauge, which of two values is shown where two daemons of one process have the same name: the worse one, so that no
   * tenant's fault hides behind another that is well. `state`: the worst state of all.
   */
  readonly worse?: 'greater' | 'less' | 'state'
  /** The labels, each with its allowed values where they are fixed. */
  readonly labels: Readonly<Record<string, readonly string[] | 'named by the user' | 'named by the source'>>
  /** Of a projection in shards each shard has a series of its own, with its slots in one label more: `shard="256-511"`. */
  readonly isOfShards?: true
  readonly help: string
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[]
  /**
   * What OpenTelemetry shows of a gauge's series that has ended: its SDK cannot withdraw one. 0 where that says "nothing",
   * -1 ("unknown") where 0 would be a value. Without it the last value stays: of positions and stored totals.
   */
  readonly whenEnded?: 0 | -1
  /** Where a person meets it: on the dashboard, in an alert, or for exploration only. */
  readonly usedBy: readonly ('dashboard' | 'alert' | 'exploration')[]
}

export type Aggregator = 'sum' | 'max' | 'min'

export const SOURCE: { readonly source: 'named by the user' } = { source: 'named by the user' }
export const PROJECTION: { readonly projection_name: 'named by the user' } = {
  projection_name: 'named by the user',
}
/** What a watch looks at: where its checkpoint is kept, and what it is called there. */
export const CONSUMER: { readonly consumer: 'named by the user' } = { consumer: 'named by the user' }
/** How a gap ended. */
export const OUTCOMES: readonly ['filled', 'proven_empty', 'skipped'] = ['filled', 'proven_empty', 'skipped']
