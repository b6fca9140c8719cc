import type { GaugeReading } from './metrics.ts'

/**
 * What all recorders of one registry, or of one meter provider, have in common under one prefix. A process may hold two
 * copies of this package: after a hot reload, in two bundles, or as two versions in `node_modules`. They find each other's
 * instruments here, so that a counter goes on where the other copy left it and each gauge is shown once.
 */
export interface SharedInstruments<I> {
  /** By full name. */
  readonly made: Map<string, I>
  readonly observers: Set<() => Iterable<GaugeReading>>
}

type ByOwner<I> = WeakMap<object, Map<string, SharedInstruments<I>>>

/** Of `owner`, the registry or provider. Copies of this package share no module, so what they share hangs on `globalThis`. */
export function sharedInstruments<I>(
  backend: 'prom-client' | 'opentelemetry',
  owner: object,
  prefix: string,
): SharedInstruments<I> {
  const key = Symbol.for(`@tidemark/core/${backend}/instruments`)
  const shared = globalThis as { [key]?: ByOwner<I> }
  shared[key] ??= new WeakMap()
  const ofOwner = shared[key].get(owner) ?? new Map<string, SharedInstruments<I>>()
  shared[key].set(owner, ofOwner)
  const found = ofOwner.get(prefix) ?? { made: new Map<string, I>(), observers: new Set() }
  ofOwner.set(prefix, found)
  return found
}
