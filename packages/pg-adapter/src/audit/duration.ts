/** Rounded up: no wait that is said to be long enough is shorter than the delay. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)} ms`
  if (ms < 60_000) return `${Math.ceil(ms / 100) / 10} s`
  if (ms < 3_600_000) return `${Math.ceil(ms / 6_000) / 10} min`
  return `${Math.ceil(ms / 360_000) / 10} h`
}
