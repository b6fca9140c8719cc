const WINDOW_MS = 2_500

/** How fast counts have grown lately. */
export class Rates {
  readonly #samples = new Map<string, { readonly atMs: number; readonly count: number }[]>()

  perSecond(name: string, count: number, nowMs: number): number {
    const samples = this.#samples.get(name) ?? []
    this.#samples.set(name, samples)
    samples.push({ atMs: nowMs, count })
    while (samples[1] !== undefined && samples[1].atMs <= nowMs - WINDOW_MS) samples.shift()
    const oldest = samples[0]
    if (oldest === undefined || oldest.atMs === nowMs) return 0
    return Math.round(((count - oldest.count) * 1_000) / (nowMs - oldest.atMs))
  }
}
