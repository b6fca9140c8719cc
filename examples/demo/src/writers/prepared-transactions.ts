import type pg from 'pg'
import type { Ledger } from '../ledger.ts'
import { pause } from '../pause.ts'
import { chance, mostlyShort } from '../random.ts'
import type { WriterSession } from './writer-session.ts'

/** Leaves room for others on a server that allows only a few. */
const MOST_AT_ONCE = 4
const ROLLED_BACK_SHARE = 0.3

/** Transactions prepared by writers, each committed or rolled back by another session a while later. */
export class PreparedTransactions {
  readonly #pool: pg.Pool
  readonly #schema: string
  readonly #ledger: Ledger
  readonly #unresolved = new Set<Promise<void>>()
  #prepared = 0

  constructor(pool: pg.Pool, schema: string, ledger: Ledger) {
    this.#pool = pool
    this.#schema = schema
    this.#ledger = ledger
  }

  get isFull(): boolean {
    return this.#unresolved.size >= MOST_AT_ONCE
  }

  /** Prepares the session's transaction and lets go of it. It ends a while later, or when `ending` fires. */
  async prepare(session: WriterSession, ending: AbortSignal): Promise<void> {
    const gid = `${this.#schema} ${++this.#prepared}`
    await session.query(`prepare transaction '${gid}'`)
    const resolved = this.#resolve(gid, session.takePositions(), ending).finally(() => {
      this.#unresolved.delete(resolved)
    })
    // `allResolved` throws it.
    resolved.catch(() => {})
    this.#unresolved.add(resolved)
  }

  async allResolved(): Promise<void> {
    await Promise.all(this.#unresolved)
  }

  async #resolve(gid: string, positions: readonly number[], ending: AbortSignal): Promise<void> {
    await pause(mostlyShort(50, 1_500), ending)
    if (chance(ROLLED_BACK_SHARE)) {
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
