/**
 * The backends known to belong to an incarnation. A backend compared once need not be compared again: it keeps its pid
 * and start time as long as it lives, and a crash kills every one.
 */
export class KnownBackends {
  #incarnation: string | undefined
  #keys = new Set<string>()

  /** Those of `incarnation`; none when another one is asked for. */
  of(incarnation: string | undefined): string[] {
    return incarnation !== undefined && incarnation === this.#incarnation ? [...this.#keys] : []
  }

  add(incarnation: string, key: string): void {
    if (incarnation !== this.#incarnation || this.#keys.size >= MOST_KEYS) {
      this.#incarnation = incarnation
      this.#keys = new Set()
    }
    this.#keys.add(key)
  }
}

/** Poolers make new backends all the time; the list travels with every page request. */
const MOST_KEYS = 200
