import type pg from 'pg'
import type { Ledger } from '../ledger.ts'
import { pause } from '../pause.ts'
import type { WriterSession } from './writer-session.ts'

/** Leaves room for others on a server that allows only a few. */
const MOST_AT_ONCE = 4
const ROLLED_BACK_SHARE = 0.3

interface Preparing {
  readonly session: WriterSession
  readonly longestMs: number
  readonly ending: AbortSignal
}

interface Prepared {
  readonly gid: string
  readonly positions: readonly number[]
  readonly afterMs: number
  readonly isRolledBack: boolean
  readonly ending: AbortSignal
}

/** Transactions prepared by writers, each committed or rolled back by another session a while later. */
export class PreparedTransactions {
  readonly #pool: pg.Pool
  readonly #name: string
  readonly #ledger: Ledger
  readonly #unresolved = new Set<Promise<void>>()
  #prepared = 0

  /** @param name - what the names of all its transactions begin with, before a space */
  constructor(pool: pg.Pool, name: string, ledger: Ledger) {
    this.#pool = pool
    this.#name = name
    this.#ledger = ledger
  }

  get isFull(): boolean {
    return this.#unresolved.size >= MOST_AT_ONCE
  }

  /** Prepares the session's transaction and lets go of it. It ends a while later, or when `ending` fires. */
  async prepare({ session, longestMs, ending }: Preparing): Promise<void> {
    const gid = `${this.#name} ${++this.#prepared}`
    await session.query(`prepare transaction '${gid}'`)
    const { random } = session
    const resolved = this.#resolve({
      gid,
      positions: session.takePositions(),
      // Chosen here, so that the writer's choices stay in their order.
      afterMs: random.mostlyShort(50, longestMs),
      isRolledBack: random.chance(ROLLED_BACK_SHARE),
      ending,
    }).finally(() => {
      this.#unresolved.delete(resolved)
    })
    // `allResolved` throws it.
    resolved.catch(() => {})
    this.#unresolved.add(resolved)
  }

  async allResolved(): Promise<void> {
    await Promise.all(this.#unresolved)
  }

  async #resolve({ gid, positions, afterMs, isRolledBack, ending }: Prepared): Promise<void> {
    await pause(afterMs, ending)
    if (isRolledBack) {
      await this.#pool.query(`rollback prepared '${gid}'`)
      this.#ledger.rolledBack(positions)
      this.#ledger.count('preparedRolledBack')
    } else {
      await this.#pool.query(`commit prepared '${gid}'`)
      this.#ledger.committed(positions)
      this.#ledger.count('preparedCommitted')
    }
  }
}
