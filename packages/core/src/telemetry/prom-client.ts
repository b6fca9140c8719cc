import { register } from 'prom-client'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import type { Metrics } from './metrics.ts'
import { type AnyRegistry, recorderOf } from './prom-client-recorder.ts'

export interface PromClientMetricsOptions {
  /**
   * Where the metrics are registered.
   * - Change it when: the process exports a registry of its own.
   * @default prom-client's global registry
   */
  readonly registry?: AnyRegistry
  /**
   * Of every metric's name. It is this project's: Marten emits no such names.
   * - Change it when: the names collide with others. Dashboard and alerts then have to be changed too.
   * @default 'martend_async_daemon_'
   */
  readonly prefix?: string
  /**
   * Appended to the names of counters. An OpenMetrics registry appends `_total` by itself, whatever stands here.
   * - `'_total'`: pleases `promtool check metrics`. Dashboard and alerts then have to be changed too.
   * - Change it when: `promtool check metrics` runs on your scrapes.
   * @default ''
   */
  readonly counterSuffix?: '' | '_total'
}

const OPTIONS: Readonly<Record<keyof PromClientMetricsOptions, true>> = {
  registry: true,
  prefix: true,
  counterSuffix: true,
}

/**
 * Metrics through prom-client. Several daemons, and several calls with one registry and prefix, share their metrics, also
 * where this package is loaded twice. A metric of another's that has a name of ours stays as it is: ours of that name is
 * not exported, and a warning says so. On a registry whose content type is OpenMetrics when the first daemon starts,
 * histograms of batches carry exemplars.
 */
export function promClientMetrics(options: PromClientMetricsOptions = {}): Metrics {
  requireKnownOptions(options, OPTIONS)
  const registry = options.registry ?? register
  const prefix = options.prefix ?? 'martend_async_daemon_'
  const counterSuffix = options.counterSuffix ?? ''
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) {
    throw new InvalidOptionError('prefix', 'letters, digits and underscores', prefix)
  }
  if (counterSuffix !== '' && counterSuffix !== '_total') {
    throw new InvalidOptionError('counterSuffix', "'' or '_total'", counterSuffix)
  }
  return { open: (logger) => recorderOf(registry, prefix, counterSuffix).open(logger) }
}
