import type { Resolved } from '../links.ts'
import { comparePositions, type LogPosition } from '../log-position.ts'

/** OutstandingMessage.cs: an event on its way through a group. */
export interface Message {
  /** Of the event, or of the link to it: what is acknowledged. */
  readonly id: string
  readonly resolved: Resolved
  /** Not of a parked message that is replayed. */
  readonly place?: LogPosition
  readonly retryCount: number
  /** Given when it is first pushed, with the place of the message before it. */
  readonly sequence?: number
  readonly previous?: LogPosition
}

/** OutstandingMessageCache.cs: what was pushed and not yet acknowledged. */
export class Outstanding {
  readonly #messages = new Map<string, { readonly message: Message; readonly expiresAt: number }>()

  get size(): number {
    return this.#messages.size
  }

  get(id: string): Message | undefined {
    return this.#messages.get(id)?.message
  }

  add(message: Message, expiresAt: number): void {
    this.#messages.set(message.id, { message, expiresAt })
  }

  delete(id: string): void {
    this.#messages.delete(id)
  }

  /** Removes those that were not acknowledged in time. */
  takeExpired(now: number): Message[] {
    const expired = [...this.#messages.values()].filter(({ expiresAt }) => expiresAt <= now)
    for (const { message } of expired) this.#messages.delete(message.id)
    return expired.map(({ message }) => message)
  }

  values(): Message[] {
    return [...this.#messages.values()].map(({ message }) => message)
  }
}

/** StreamBuffer.AddRetry: what is tried again comes in its order, before anything new; replayed ones at the end. */
export function insertRetry(retries: Message[], message: Message): void {
  const { place } = message
  const index = place
    ? retries.findIndex((other) => other.place && comparePositions(place, other.place) < 0)
    : -1
  retries.splice(index < 0 ? retries.length : index, 0, message)
}

/** The one with the least sequence number. */
export function lowest(messages: readonly Message[]): Message | undefined {
  return messages.reduce<Message | undefined>((least, message) => {
    if (message.sequence === undefined) return least
    return least?.sequence === undefined || message.sequence < least.sequence ? message : least
  }, undefined)
}
