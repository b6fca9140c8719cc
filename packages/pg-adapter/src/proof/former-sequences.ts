import type { StoredProgress } from '@tidemark/core/adapter'
import { parseIncarnation } from '../server/incarnation.ts'

/**
 * The sequences that filled the position before the present one. The default may move to another sequence while a
 * transaction is open that took its number from the old one and inserts it later. That transaction holds a lock on the
 * old sequence only. So the holders of the old ones that the first poll after the change finds are waited for too.
 */
export class FormerSequences {
  #known: ReadonlySet<string> = new Set()

  /** One that fills the column now. */
  add(oid: string): void {
    this.#add([oid])
  }

  /** What an earlier process knew. */
  addStored(progress: readonly StoredProgress<unknown>[]): void {
    this.#add(progress.flatMap(({ incarnation }) => sequenceOidOf(incarnation) ?? []))
  }

  /** Their oids. */
  besides(oid: string): readonly string[] {
    return [...this.#known].filter((known) => known !== oid)
  }

  /** Nobody who took a number from another one is left. */
  forgetAllBut(oid: string): void {
    this.#known = new Set([oid])
  }

  #add(oids: readonly string[]): void {
    this.#known = new Set([...this.#known, ...oids])
  }
}

function sequenceOidOf(incarnation: string | undefined): string | undefined {
  return incarnation === undefined ? undefined : parseIncarnation(incarnation)?.sequenceOid
}
