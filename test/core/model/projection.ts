import type { StoredProgress } from '../../../packages/core/src/ports/event-source.ts'
import { wholeUnit } from '../../../packages/core/src/ports/unit.ts'
import type { Judge } from './judge.ts'
import type { ModelServer } from './server.ts'
import type { ModelEvent } from './transaction.ts'

/** The part of a poll that is stored with progress. */
export interface ModelEvidence {
  readonly incarnation: string
  readonly settled: bigint | undefined
}

/** Where progress is kept: in the events' own database a crash takes it back together with the events. */
export class Journal {
  /** A settled position stored alone. */
  alone: StoredProgress<bigint> | undefined
  readonly #server: ModelServer
  readonly #inEventsDatabase: boolean

  constructor(server: ModelServer, inEventsDatabase: boolean) {
    this.#server = server
    this.#inEventsDatabase = inEventsDatabase
  }

  write(undo: () => void, asynchronous: boolean): void {
    if (!this.#inEventsDatabase) return
    this.#server.wal.append(undo)
    if (!asynchronous) this.#server.wal.flush()
  }

  saveSettled(evidence: ModelEvidence, asynchronous: boolean): void {
    const before = this.alone
    this.alone = { unit: undefined, position: undefined, ...evidence }
    this.write(() => {
      this.alone = before
    }, asynchronous)
  }
}

/** One projection's checkpoint and effects, which are stored in one transaction, and judged as they happen. */
export class Projection {
  checkpoint: StoredProgress<bigint> | undefined
  readonly handled: ModelEvent[] = []
  readonly #name: string
  readonly #bit: number
  readonly #server: ModelServer
  readonly #journal: Journal
  readonly #judge: Judge

  constructor(index: number, server: ModelServer, journal: Journal, judge: Judge) {
    this.#name = `projection ${index}`
    this.#bit = 1 << index
    this.#server = server
    this.#journal = journal
    this.#judge = judge
  }

  advance(events: readonly ModelEvent[], to: bigint, evidence: ModelEvidence, asynchronous: boolean): void {
    const { checkpoint } = this
    const length = this.handled.length
    for (const event of events) this.#handle(event)
    if (!this.#server.table.at(Number(to))?.wasVisible) {
      this.#judge.report('checkpoint never seen visible', `${this.#name} stored ${to}`)
    }
    this.checkpoint = { unit: wholeUnit(this.#name), position: to, ...evidence }
    this.#journal.write(() => {
      this.checkpoint = checkpoint
      for (const event of this.handled.splice(length)) event.handledBy &= ~this.#bit
    }, asynchronous)
  }

  #handle(event: ModelEvent): void {
    const what = `${this.#name} handled ${event.position}`
    const last = this.handled.at(-1)
    if (event.state === 'empty') this.#judge.report('projected but not committed', what)
    if (event.handledBy & this.#bit) this.#judge.report('handled twice', what)
    if (last && last.position >= event.position) {
      this.#judge.report('out of order', `${what} after ${last.position}`)
    }
    event.handledBy |= this.#bit
    this.handled.push(event)
  }

  /** With all writers finished and all that was settled projected. */
  checkComplete(): void {
    for (const event of this.#server.table.everInserted) {
      const excused = event.state !== 'visible' && (event.state === 'empty' || event.excused & this.#bit)
      const lifted = event.state === 'visible' && event.excused & this.#bit
      if (excused || lifted || event.handledBy & this.#bit) continue
      this.#judge.report('lost', `${this.#name} never handled ${event.position}, which is ${event.state}`)
    }
  }
}
