import type { Unit } from './unit.ts'

/** Keeps which events a policy gave up, and why: their positions, not what is in them. The source has the events. */
export interface DeadLetters<Tx> {
  /**
   * Writes one letter through the transaction of an `advance` of this unit: both are committed, or neither. What it throws
   * is thrown by the work of that advance, so that the checkpoint stands.
   */
  bury(tx: Tx, unit: Unit, letter: NewDeadLetter): Promise<void>
  /**
   * Through the transaction of an `advance` of this unit: which of these keys have a letter that is open. Never from memory:
   * another owner may have parked a key.
   */
  parkedKeys(tx: Tx, unit: Unit, keys: readonly string[]): Promise<ParkedKeys>
  /**
   * Through the transaction of a `fulfil` that has both units locked: the open letters of `from` are those of `to` from now on,
   * in their order, and asked for as before.
   */
  handOver(tx: Tx, from: Unit, to: Unit): Promise<void>
  /** In the order in which they were buried, at most `limit`. */
  list(filter: LetterFilter, page: LetterPage, signal: AbortSignal): Promise<readonly DeadLetter[]>
  /** The same of open ones, of which only the ids are read: however long their errors are. */
  openIds(
    filter: Omit<LetterFilter, 'state'>,
    page: LetterPage,
    signal: AbortSignal,
  ): Promise<readonly string[]>
  find(id: string, signal: AbortSignal): Promise<DeadLetter | undefined>
  /** Closes those that are open, and answers which they were: asked twice, or at once, each is closed once. */
  close(ids: readonly string[], closing: LetterClosing, signal: AbortSignal): Promise<readonly string[]>
  /** Of each projection that has open ones. However many letters there are, this reads few rows. */
  counts(signal: AbortSignal): Promise<readonly OpenLetters[]>
  /**
   * Asks that open ones be retried, and answers which of the chosen are open. Of a key only the first is asked for: the others
   * follow it. Asked twice, each is asked for once; who asked first stays.
   */
  askRetry(choice: LetterChoice, asker: LetterAsker, signal: AbortSignal): Promise<readonly string[]>
  /** What has become of each of them, as far as there are letters of these ids. */
  retryStates(ids: readonly string[], signal: AbortSignal): Promise<readonly RetryState[]>
  /** The first of this unit that is asked for, is open, and stands first of its key. */
  nextRetry(unit: Unit, signal: AbortSignal): Promise<DeadLetter | undefined>
  /**
   * Through the transaction of an `advance` of this unit: takes a letter to retry it, so that nobody else closes or takes it
   * until that has ended. `undefined` where it is not open, not asked for, or not the first of its key.
   */
  takeRetry(tx: Tx, unit: Unit, id: string): Promise<TakenLetter | undefined>
  /**
   * Through the transaction of a later `advance` of this unit: it was retried in vain, stays open, with one try more and this
   * error, and is asked for no more.
   */
  retryFailed(tx: Tx, unit: Unit, id: string, error: LetterError): Promise<void>
}

export interface ParkedKeys {
  readonly keys: ReadonlySet<string>
  /**
   * Writes letters of these keys in the same transaction, in this order. One in front of which the last was closed meanwhile is
   * asked for at once, as `close` would have done.
   */
  park(letters: readonly NewDeadLetter[]): Promise<void>
}

/** A letter that is being retried. */
export interface TakenLetter {
  /** It has passed: closes it in the same transaction, and asks for the one behind it in its key. */
  close(): Promise<void>
}

export type LetterChoice =
  | { readonly ids: readonly string[] }
  | { readonly filter: Omit<LetterFilter, 'state'>; readonly page: LetterPage }

/** Who wants events to be skipped, or letters to be retried, and why. */
export interface LetterAsker {
  readonly who: string
  readonly why: string
}

export interface RetryState {
  readonly id: string
  /**
   * `asked`: it, or the first of its key, is asked for. `open`: it is not. `behind`: neither is, and another of its key stands
   * before it.
   */
  readonly state: 'asked' | 'open' | 'behind' | LetterClosing['as']
}

/** The events of one position, or of the smallest part of the log that their source hands out. */
export interface NewDeadLetter {
  readonly source: string
  readonly firstPosition: string
  readonly lastPosition: string
  readonly events: number
  /** Each once, where the source knows them. */
  readonly eventTypes: readonly string[]
  /** `parked`: they were never tried, since an earlier event of their key has a letter that is open. */
  readonly stage: 'map' | 'handle' | 'parked'
  readonly error: LetterError
  /** How often they were tried. */
  readonly tries: number
  /** What keeps the order of events that belong together; `undefined` where the projection names none. */
  readonly key: string | undefined
  /** The process that gave them up. */
  readonly node: string
  /** The operator who has asked for that; `undefined` where the projection's `onFailure` has decided it. */
  readonly skippedBy?: LetterAsker | undefined
}

/** What was thrown, without its other fields: they may hold what is in the event. */
export interface LetterError {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  readonly cause?: LetterError
  readonly errors?: readonly LetterError[]
}

export interface DeadLetter extends NewDeadLetter {
  readonly id: string
  readonly projection: string
  readonly version: number
  /** When it was buried, by the clock of the store. */
  readonly buriedAtMs: number
  /** Since when a retry of it is asked for; `undefined` where none is. */
  readonly retryAsked: (LetterAsker & { readonly atMs: number }) | undefined
  /** `undefined` while it is open. */
  readonly closed: (LetterClosing & { readonly atMs: number }) | undefined
}

export interface LetterClosing {
  /**
   * `resolved`: its effect is there by now. `discarded`: it is not wanted. `retried`: its handler has handled it. `replayed`: its
   * events are handed out again, since the projection was rebuilt, or its checkpoint moved back.
   */
  readonly as: 'resolved' | 'discarded' | 'retried' | 'replayed'
  readonly why: string
  readonly who: string
}

/** Letters that match all that is given. */
export interface LetterFilter {
  readonly projection?: string
  readonly version?: number
  readonly state?: 'open' | LetterClosing['as']
  readonly eventType?: string
}

export interface LetterPage {
  /** The id of the last letter of the page before. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface OpenLetters {
  readonly projection: string
  readonly version: number
  readonly open: number
  /** When the first of them was buried. */
  readonly oldestAtMs: number
}
