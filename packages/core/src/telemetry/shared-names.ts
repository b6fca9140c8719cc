import type { MetricsRecorder } from './metrics.ts'

const namesOf = new WeakMap<MetricsRecorder, Map<string, number>>()
const warned = new WeakMap<MetricsRecorder, Set<string>>()

/**
 * Takes names that label metrics of one backend, for as long as a daemon shows them. `onShared` is called for one that
 * another daemon of this process has too, once. Returns what gives them back.
 */
export function takeNames(
  recorder: MetricsRecorder,
  names: readonly string[],
  onShared: (name: string) => void,
): () => void {
  const taken = namesOf.get(recorder) ?? new Map<string, number>()
  namesOf.set(recorder, taken)
  const told = warned.get(recorder) ?? new Set<string>()
  warned.set(recorder, told)
  for (const name of names) {
    const others = taken.get(name) ?? 0
    taken.set(name, others + 1)
    if (others === 0 || told.has(name)) continue
    told.add(name)
    onShared(name)
  }
  return () => {
    for (const name of names) taken.set(name, (taken.get(name) ?? 1) - 1)
  }
}
