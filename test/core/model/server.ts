import type { ServerIdentity } from '../../../packages/pg-adapter/src/server/incarnation.ts'
import { EventTable } from './event-table.ts'
import type { Judge } from './judge.ts'
import { Sequence } from './sequence.ts'
import { changeEvents, listedAs, type ModelEvent, type Transaction } from './transaction.ts'
import { WriteAheadLog } from './write-ahead-log.ts'

export interface ServerSetting {
  /** The sequence's START; 0 and negative ones are ordinary. */
  readonly start: number
  /** How many numbers a sequence logs ahead: 32 in PostgreSQL, less makes more crashes hand numbers out again. */
  readonly logAhead: number
  /** A restart changes none of the facts that the identity is made of. */
  readonly unseenRestarts: boolean
  /** `stats_reset` may not be read. */
  readonly unreadableFact: boolean
  /** Checkpoints live in the events' database: a crash that brings back an event brings back the checkpoints with it. */
  readonly ownsCheckpoints: boolean
}

/** As much of a PostgreSQL server as the proof rests on. */
export class ModelServer {
  readonly wal: WriteAheadLog = new WriteAheadLog()
  readonly sequence: Sequence
  readonly table: EventTable
  transactions: Transaction[] = []
  readonly #setting: ServerSetting
  readonly #judge: Judge
  #xids = 0
  #localIds: number[] = []
  #backends = 0
  #aliveFrom = 0
  #statsReset = 1
  #postmasterStarts = 1
  #copy: { readonly wal: number; readonly statsReset: number } | undefined

  constructor(setting: ServerSetting, judge: Judge) {
    this.#setting = setting
    this.#judge = judge
    this.table = new EventTable(setting.start)
    this.sequence = new Sequence(this.wal, setting.start, setting.logAhead)
  }

  // Sessions that read.

  connect(): number {
    return ++this.#backends
  }

  isAlive(backend: number): boolean {
    return backend > this.#aliveFrom
  }

  identity(): ServerIdentity {
    return {
      systemIdentifier: '7000000000000000001',
      timeline: '00000001',
      statsReset: this.#setting.unreadableFact ? null : String(this.#statsReset),
      postmasterStart: String(this.#postmasterStarts),
    }
  }

  holders(): string[] {
    const ids: string[] = []
    for (const transaction of this.transactions) {
      if (!transaction.holdsLock) continue
      ids.push(listedAs(transaction))
      if (transaction.listedTwice) ids.push(listedAs(transaction))
    }
    return ids
  }

  // Sessions that write.

  begin(listedTwice: boolean): Transaction {
    let slot = 1
    while (this.transactions.some((t) => t.slot === slot && !t.wasPrepared)) slot++
    const localId = (this.#localIds[slot] ?? 0) + 1
    this.#localIds[slot] = localId
    const transaction: Transaction = {
      xid: ++this.#xids,
      slot,
      virtualId: `${slot}/${localId}`,
      holdsLock: false,
      listedTwice,
      phase: 'open',
      wasPrepared: false,
      events: [],
    }
    this.transactions.push(transaction)
    return transaction
  }

  insert(transaction: Transaction): void {
    transaction.holdsLock = true
    transaction.events.push(this.table.insert(this.sequence.next()))
  }

  rollBackToSavepoint(transaction: Transaction, events: number): void {
    for (const event of transaction.events.slice(-events)) event.state = 'empty'
  }

  rollBack(transaction: Transaction): void {
    changeEvents(transaction, 'pending', 'empty')
    transaction.phase = 'ending'
  }

  /** Writes the commit; an asynchronous one does not wait for the disk. */
  commit(transaction: Transaction, asynchronous: boolean): void {
    transaction.phase = 'committing'
    if (transaction.events.length === 0) return
    this.wal.append(() => this.#uncommit(transaction))
    if (!asynchronous) this.wal.flush()
  }

  show(transaction: Transaction): void {
    changeEvents(transaction, 'pending', 'visible')
    transaction.phase = 'ending'
  }

  release(transaction: Transaction): void {
    this.transactions = this.transactions.filter((t) => t !== transaction)
  }

  prepare(transaction: Transaction): void {
    transaction.phase = 'prepared'
    transaction.wasPrepared = true
    this.wal.append(() => {
      changeEvents(transaction, 'pending', 'empty')
      this.release(transaction)
    })
    this.wal.flush()
  }

  finishPrepared(transaction: Transaction, commit: boolean): void {
    const pending = transaction.events.filter((event) => event.state === 'pending')
    changeEvents(transaction, 'pending', commit ? 'visible' : 'empty')
    transaction.phase = 'ending'
    this.wal.append(() => {
      for (const event of pending) event.state = 'pending'
      transaction.phase = 'prepared'
      if (!this.transactions.includes(transaction)) this.transactions.push(transaction)
    })
    this.wal.flush()
  }

  delete(event: ModelEvent, asynchronous: boolean): void {
    const { excused } = event
    event.state = 'deleted'
    event.excused |= ~event.handledBy
    this.wal.append(() => {
      event.state = 'visible'
      if (this.#setting.ownsCheckpoints) event.excused = excused
    })
    if (!asynchronous) this.wal.flush()
  }

  // The server as a whole.

  checkpoint(): void {
    this.sequence.checkpoint()
    this.wal.flush()
  }

  crash(postmasterDies: boolean): void {
    this.wal.loseUnflushed()
    for (const t of this.transactions) if (t.phase === 'committing') changeEvents(t, 'pending', 'visible')
    this.#statsReset++
    if (postmasterDies) this.#postmasterStarts++
    this.#startUp()
  }

  restart(): void {
    this.#shutDown()
    if (!this.#setting.unseenRestarts) this.#postmasterStarts++
    this.#startUp()
  }

  /** Stops cleanly, copies the files, starts again. */
  restartWithCopy(): void {
    this.#shutDown()
    this.#copy = { wal: this.wal.inserted, statsReset: this.#statsReset }
    this.#postmasterStarts++
    this.#startUp()
  }

  /** Starts on the copy, where there is one: everything since is undone, and only the start time tells. */
  restoreCopy(): void {
    if (!this.#copy) return
    this.#shutDown()
    this.wal.rewindTo(this.#copy.wal)
    this.#statsReset = this.#copy.statsReset
    this.#postmasterStarts++
    this.#startUp()
  }

  #shutDown(): void {
    for (const t of this.transactions) if (t.phase === 'committing') this.show(t)
    this.sequence.checkpoint()
    this.wal.flush()
  }

  /** Only prepared transactions outlive a stop, as `-1/xid`; all counters begin again. */
  #startUp(): void {
    this.transactions = this.transactions.filter((t) => t.phase === 'prepared' || this.#abort(t))
    for (const transaction of this.transactions) transaction.virtualId = `-1/${transaction.xid}`
    this.#localIds = []
    this.#aliveFrom = this.#backends
    this.sequence.recover()
  }

  #abort(transaction: Transaction): false {
    changeEvents(transaction, 'pending', 'empty')
    return false
  }

  #uncommit(transaction: Transaction): void {
    for (const event of transaction.events) {
      event.state = 'empty'
      if (event.handledBy === 0) continue
      this.#judge.report('projected but not committed', `${event.position} was handled, then lost in a crash`)
    }
  }
}
