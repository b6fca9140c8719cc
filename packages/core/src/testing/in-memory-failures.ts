import type { Failures, NewFailure, UnitFailure } from '../ports/failures.ts'
import type { StoredUnit, UnitFilter } from '../ports/stored-unit.ts'
import { type Unit, unitKey } from '../ports/unit.ts'

/** What failed last at the units of a checkpoint store in memory. */
export class InMemoryFailures implements Failures {
  readonly #units: ReadonlyMap<string, Pick<StoredUnit, 'position' | 'source'>>
  readonly #isNewest: (key: string, fence: bigint) => boolean
  readonly #failures = new Map<string, UnitFailure>()

  constructor(
    units: ReadonlyMap<string, Pick<StoredUnit, 'position' | 'source'>>,
    isNewest: (key: string, fence: bigint) => boolean,
  ) {
    this.#units = units
    this.#isNewest = isNewest
  }

  async tell({ fence, ...failure }: NewFailure, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const key = unitKey(failure.unit)
    const unit = this.#units.get(key)
    const isOutdated = fence !== undefined && !this.#isNewest(key, fence)
    if (unit === undefined || unit.position !== failure.position || isOutdated) return
    const before = this.#failures.get(key)
    const isSame = before !== undefined && before.position === failure.position
    const atMs = Date.now()
    this.#failures.set(key, {
      ...failure,
      failures: failure.failures + (isSame ? before.failures : 0),
      sinceMs: isSame ? before.sinceMs : atMs,
      atMs,
    })
  }

  async over(unit: Unit, node: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#failures.get(unitKey(unit))?.node === node) this.forget(unit)
  }

  async list({ source, projection }: UnitFilter, signal: AbortSignal): Promise<readonly UnitFailure[]> {
    signal.throwIfAborted()
    return [...this.#failures].flatMap(([key, failure]) => {
      const unit = this.#units.get(key)
      const isMeant =
        unit !== undefined &&
        unit.position === failure.position &&
        (source === undefined || unit.source === source) &&
        (projection === undefined || failure.unit.projection === projection)
      return isMeant ? [failure] : []
    })
  }

  forget(unit: Unit): void {
    this.#failures.delete(unitKey(unit))
  }
}
