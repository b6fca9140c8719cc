import type { ServiceError } from '@grpc/grpc-js'
import type { OpenCall } from '../open-calls.ts'
import type { persistent } from '../protocol.ts'
import type { Message } from './messages.ts'
import { messageResponse } from './responses.ts'

/** PersistentSubscriptionClient.cs: one connection to a group. */
export class Subscriber {
  readonly connectionName: string
  readonly #open: OpenCall<persistent.ReadResp>
  readonly #bufferSize: number
  readonly #inFlight = new Map<string, Message>()
  totalItems = 0

  /** @param bufferSize - how many messages it may have that are not acknowledged */
  constructor(open: OpenCall<persistent.ReadResp>, bufferSize: number, connectionName: string) {
    this.#open = open
    this.#bufferSize = bufferSize
    this.connectionName = connectionName
  }

  get from(): string {
    return this.#open.peer
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  get availableSlots(): number {
    return this.#bufferSize - this.#inFlight.size
  }

  push(message: Message): void {
    this.totalItems++
    this.#inFlight.set(message.id, message)
    void this.#open.send(messageResponse(message))
  }

  settle(id: string): void {
    this.#inFlight.delete(id)
  }

  get unsettled(): Message[] {
    return [...this.#inFlight.values()]
  }

  fail(error: ServiceError): void {
    this.#open.fail(error)
  }
}
