import type pg from 'pg'
import type { DemoDatabase } from '../database.ts'
import { type NewEvent, newEvent } from '../event.ts'
import type { Ledger } from '../ledger.ts'
import type { Random } from '../random.ts'

/** Inserts events in the running transaction, in one statement, and answers their positions. */
export type Append = (client: pg.Client, events: readonly NewEvent[]) => Promise<readonly number[]>

/** What a session's transactions are made of. The positions of the running one are kept until it has ended. */
export class WriterSession {
  readonly #client: pg.Client
  readonly #append: Append
  readonly #ledger: Ledger
  readonly random: Random
  #positions: number[] = []
  numbersTaken = 0
  isGone = false

  private constructor(client: pg.Client, append: Append, ledger: Ledger, random: Random) {
    this.#client = client
    this.#append = append
    this.#ledger = ledger
    this.random = random
  }

  static async open(
    database: DemoDatabase,
    role: string,
    { append, ledger, random }: { readonly append: Append; readonly ledger: Ledger; readonly random: Random },
  ): Promise<WriterSession> {
    return new WriterSession(await database.connect(role), append, ledger, random)
  }

  /** For `pg_terminate_backend`. */
  get backendPid(): number {
    return (this.#client as unknown as { readonly processID: number }).processID
  }

  async query(sql: string): Promise<void> {
    await this.#client.query(sql)
  }

  async begin(): Promise<void> {
    await this.query('begin')
  }

  async append(count: number): Promise<void> {
    const events = Array.from({ length: count }, () => newEvent(this.random))
    const positions = await this.#append(this.#client, events)
    this.#positions.push(...positions)
    this.numbersTaken += positions.length
  }

  /** One statement and its commit. */
  async appendAlone(): Promise<void> {
    await this.append(1)
    this.#ledger.committed(this.takePositions())
  }

  async rollBackToSavepoint(work: () => Promise<void>): Promise<void> {
    const before = this.#positions.length
    await this.query('savepoint attempt')
    await work()
    await this.query('rollback to savepoint attempt')
    // They end with the transaction, as holders of their numbers; never committed, they are no event's.
    this.#ledger.undone += this.#positions.splice(before).length
    this.#ledger.count('savepointsRolledBack')
  }

  async commit(): Promise<void> {
    await this.query('commit')
    this.#ledger.committed(this.takePositions())
  }

  async rollBack(): Promise<void> {
    await this.query('rollback')
    this.#ledger.rolledBack(this.takePositions())
    this.#ledger.count('rolledBack')
  }

  /** The numbers taken by a transaction that now goes its own way, or has gone. */
  takePositions(): readonly number[] {
    const positions = this.#positions
    this.#positions = []
    return positions
  }

  /** Of a session that was ended by another: its next statement finds that out. */
  async untilGone(): Promise<void> {
    while (!this.isGone) {
      await this.query('select 1').catch(() => {
        this.isGone = true
      })
    }
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => {})
  }
}
