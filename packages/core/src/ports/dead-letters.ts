import type { Unit } from './unit.ts'

/** Keeps which events a policy gave up, and why: their positions, not what is in them. The source has the events. */
export interface DeadLetters<Tx> {
  /**
   * Writes one letter through the transaction of an `advance` of this unit: both are committed, or neither. What it throws
   * is thrown by the work of that advance, so that the checkpoint stands.
   */
  bury(tx: Tx, unit: Unit, letter: NewDeadLetter): Promise<void>
  /** In the order in which they were buried, at most `limit`. */
  list(filter: LetterFilter, page: LetterPage, signal: AbortSignal): Promise<readonly DeadLetter[]>
  find(id: string, signal: AbortSignal): Promise<DeadLetter | undefined>
  /** Closes those that are open, and answers which they were: asked twice, or at once, each is closed once. */
  close(ids: readonly string[], closing: LetterClosing, signal: AbortSignal): Promise<readonly string[]>
  /** Of each projection that has open ones. However many letters there are, this reads few rows. */
  counts(signal: AbortSignal): Promise<readonly OpenLetters[]>
}

/** The events of one position, or of the smallest part of the log that their source hands out. */
export interface NewDeadLetter {
  readonly source: string
  readonly firstPosition: string
  readonly lastPosition: string
  readonly events: number
  /** Each once, where the source knows them. */
  readonly eventTypes: readonly string[]
  readonly stage: 'map' | 'handle'
  readonly error: LetterError
  /** How often they were tried. */
  readonly tries: number
  /** What keeps the order of events that belong together; `undefined` where the projection names none. */
  readonly key: string | undefined
  /** The process that gave them up. */
  readonly node: string
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
  /** `undefined` while it is open. */
  readonly closed: (LetterClosing & { readonly atMs: number }) | undefined
}

export interface LetterClosing {
  /** `resolved`: its effect is there by now. `discarded`: it is not wanted. */
  readonly as: 'resolved' | 'discarded'
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
