import { setTimeout as sleep } from 'node:timers/promises'
import type { PoolClient } from 'pg'
import type { Mischief } from './nodes-projections.ts'

const SLOW_MS = 300

/** What handlers are told to do wrong, each for a while. */
export class MischiefOfHandlers {
  readonly #now: () => number
  readonly #until = new Map<string, { readonly how: Mischief; readonly untilMs: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  tell(projection: string, how: Mischief, forMs: number): void {
    this.#until.set(projection, { how, untilMs: this.#now() + forMs })
  }

  /** Called in each batch, after it has written. */
  async strike(projection: string, tx: PoolClient): Promise<void> {
    const told = this.#until.get(projection)
    if (told === undefined || this.#now() > told.untilMs) return
    if (told.how === 'throws') throw new Error('chaos: the handler throws')
    if (told.how === 'is slow') await sleep(SLOW_MS)
    if (told.how === 'hangs in a statement') await tx.query('select pg_sleep(600)')
    if (told.how === 'hangs') await new Promise(() => {})
  }
}
