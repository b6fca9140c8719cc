import type pg from 'pg'
import type { DemoDatabase } from '../database.ts'
import { newEvent } from '../event.ts'
import type { Ledger } from '../ledger.ts'

/** What a session's transactions are made of. The positions of the running one are kept until it has ended. */
export class WriterSession {
  readonly #client: pg.Client
  readonly #schema: string
  readonly #ledger: Ledger
  #positions: number[] = []
  numbersTaken = 0
  isGone = false

  private constructor(client: pg.Client, schema: string, ledger: Ledger) {
    this.#client = client
    this.#schema = schema
    this.#ledger = ledger
  }

  static async open(database: DemoDatabase, role: string, ledger: Ledger): Promise<WriterSession> {
    return new WriterSession(await database.connect(role), database.schema, ledger)
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

  /** One statement, however many events. */
  async append(count: number): Promise<void> {
    const events = Array.from({ length: count }, newEvent)
    const { rows } = await this.#client.query<{ position: string }>(
      `insert into ${this.#schema}.events (type, account, amount)
       select * from unnest($1::text[], $2::int[], $3::int[]) returning position`,
      [events.map((e) => e.type), events.map((e) => e.account), events.map((e) => e.amount)],
    )
    for (const { position } of rows) this.#positions.push(Number(position))
    this.numbersTaken += rows.length
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
