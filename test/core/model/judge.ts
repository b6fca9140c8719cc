import type { Settlement, SettlementResult } from '../../../packages/core/src/high-water/settlement.ts'
import type { ModelEvent } from './transaction.ts'

/** What must never happen, whatever the interleaving. */
export type Harm =
  | 'lost'
  | 'handled twice'
  | 'out of order'
  | 'projected but not committed'
  | 'proven empty but not empty'
  | 'settled with a number still open'
  | 'moved backwards'
  | 'mark never seen visible'
  | 'checkpoint never seen visible'
  | 'not settled at rest'

export class Violation extends Error {
  readonly harm: Harm

  constructor(harm: Harm, what: string) {
    super(`${harm}: ${what}`)
    this.harm = harm
  }
}

/** What a judge looks at of the server. */
interface ServerUnderWatch {
  readonly sequence: { readonly last: number }
  readonly transactions: readonly { readonly events: readonly ModelEvent[] }[]
  readonly table: { at(position: number): ModelEvent | undefined }
}

/** Ends a history at the first harm done; a judge may look for one kind only. */
export class Judge {
  readonly #only: Harm | undefined

  constructor(only?: Harm) {
    this.#only = only
  }

  report(harm: Harm, what: string): void {
    if (this.#only === undefined || this.#only === harm) throw new Violation(harm, what)
  }

  /** At the moment when a poll's last step was taken. */
  poll(server: ServerUnderWatch, before: Settlement, result: SettlementResult): void {
    this.settled(server, result.settlement.settled)
    for (const { from, to } of result.provenEmpty) {
      for (let position = Number(from); position <= Number(to); position++) {
        const state =
          position > server.sequence.last ? 'yet to be handed out' : server.table.at(position)?.state
        if (state === undefined || state === 'empty' || state === 'deleted') continue
        this.report('proven empty but not empty', `${position} is ${state}`)
      }
    }
    this.#forward('settled', before.settled, result.settlement.settled)
  }

  /** Every number up to settled is visible or can never be. */
  settled(server: ServerUnderWatch, settled: bigint | undefined): void {
    if (settled === undefined) return
    if (settled > server.sequence.last) {
      this.report('settled with a number still open', `${settled} has yet to be handed out`)
    }
    for (const transaction of server.transactions) {
      for (const event of transaction.events) {
        if (event.state !== 'pending' || event.position > settled) continue
        this.report('settled with a number still open', `${event.position} at settled ${settled}`)
      }
    }
  }

  mark(before: bigint | undefined, after: bigint | undefined, seen: readonly bigint[]): void {
    this.#forward('mark', before, after)
    if (after === undefined || after === before || seen.includes(after)) return
    this.report('mark never seen visible', `${after}`)
  }

  #forward(part: string, before: bigint | undefined, after: bigint | undefined): void {
    if (before === undefined || (after !== undefined && after >= before)) return
    this.report('moved backwards', `${part} from ${before} to ${after}`)
  }
}
