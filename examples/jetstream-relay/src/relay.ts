import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import type { PoolClient } from 'pg'
import { MessageTooLargeError, RelayHaltedError } from './errors.ts'
import type { RelayedEvent } from './event.ts'
import { Ledger } from './ledger.ts'
import { type Message, messageId, type Subjects, toMessage } from './message.ts'
import { publishInOrder } from './publish.ts'
import { type Found, lastSequence, messagesOf } from './stream.ts'

interface RelayOptions extends Subjects {
  readonly js: JetStreamClient
  readonly jsm: JetStreamManager
  readonly stream: string
  /** Of a message, without its headers. */
  readonly maxBytes: number
}

/** So many messages are under way at once, at most. */
const AT_ONCE = 500

/** More than a batch: no crash of the relay explains that. */
const MOST_UNKNOWN = 10_000

/** Sends events to a stream, each once, in their order. Stream and ledger are compared whenever one of them may have changed alone. */
export class Relay {
  readonly #options: RelayOptions
  readonly #ledger: Ledger
  /** Where both ended when they were last known to agree; `undefined`: that is not known. */
  #agreed: { readonly stream: number; readonly ledger: number } | undefined
  /** Of what is under way. */
  #giveUp: (error: Error) => void = () => {}

  constructor(options: RelayOptions) {
    this.#options = options
    this.#ledger = new Ledger(options.stream)
  }

  prepare(tx: PoolClient): Promise<void> {
    return this.#ledger.prepare(tx)
  }

  /** What is committed with `tx` and what is in the stream are the same afterwards. Throws: it is not known what was sent. */
  async send(events: readonly RelayedEvent[], tx: PoolClient): Promise<void> {
    await this.#ledger.lock(tx)
    const { last } = await this.#ledger.ends(tx)
    // After a rollback the ledger has gone back, and after a failover perhaps the events with it.
    if (this.#agreed?.ledger !== last) await this.#compare(tx)
    const sent = await this.#ledger.positions(tx, events)
    await this.#publish(
      events.filter(({ position }) => !sent.has(position)),
      tx,
    )
  }

  /** At the start, and when a broker has come back: what it has lost is sent again at once. */
  async compare(tx: PoolClient): Promise<void> {
    await this.#ledger.lock(tx)
    await this.#compare(tx)
  }

  /** Nobody answers what is under way any more: the next try looks what was stored. */
  disconnected(): void {
    this.#giveUp(new Error('the connection to the broker was lost'))
  }

  async #compare(tx: PoolClient): Promise<void> {
    const { jsm, stream } = this.#options
    this.#agreed = undefined
    const { first, last } = await this.#ledger.ends(tx)
    const end = await lastSequence(jsm, stream)
    if (end - last > MOST_UNKNOWN || end < first - 1) {
      throw new RelayHaltedError(
        `the stream ${stream} ends at ${end}, and the table relay_sent knows ${first} to ${last}: they do not belong together. ` +
          'Was one of them restored, or made anew? Relay to a new stream, under a new name of the projection',
      )
    }
    if (end > last) await this.#adopt(await messagesOf(jsm, stream, { from: last + 1, to: end }), tx)
    const lost = end < last ? await this.#ledger.takeAbove(tx, end) : []
    this.#agreed = { stream: end, ledger: (await this.#ledger.ends(tx)).last }
    await this.#publish(lost, tx)
  }

  /** They were sent, and what was to say so was rolled back. */
  async #adopt(found: readonly Found[], tx: PoolClient): Promise<void> {
    const { rows } = await tx.query('select position, id from events where position = any ($1::bigint[])', [
      found.map(({ position }) => position),
    ])
    const present = new Set(rows.map(({ position, id }) => messageId({ position, id })))
    const strange = found.filter((message) => !present.has(messageId(message)))
    const [message] = strange
    if (message) {
      throw new RelayHaltedError(
        `the stream ${this.#options.stream} has ${strange.length} messages of events that the database does not have, the ` +
          `first of them at ${message.sequence}: position ${message.position}, id ${message.id}. A failover or a restored backup ` +
          'has lost these events after they were relayed. Undo what consumers did with them, delete these messages from ' +
          'the stream, and the relay goes on by itself',
      )
    }
    if (found.length > 0) await this.#ledger.add(tx, found)
  }

  async #publish(events: readonly RelayedEvent[], tx: PoolClient): Promise<void> {
    const { js, stream } = this.#options
    // Before the first is sent: what is behind a message that is too large would be refused.
    const messages = events.map((event) => this.#message(event))
    for (let from = 0; from < events.length; from += AT_ONCE) {
      const after = this.#agreed?.stream ?? 0
      this.#agreed = undefined
      const part = events.slice(from, from + AT_ONCE)
      await Promise.race([
        publishInOrder(js, stream, messages.slice(from, from + AT_ONCE), after),
        new Promise<never>((_, reject) => {
          this.#giveUp = reject
        }),
      ])
      await this.#ledger.add(
        tx,
        part.map(({ position }, index) => ({ position, sequence: after + index + 1 })),
      )
      this.#agreed = { stream: after + part.length, ledger: after + part.length }
    }
  }

  #message(event: RelayedEvent): Message {
    const message = toMessage(event, this.#options)
    const { maxBytes } = this.#options
    if (message.payload.length > maxBytes) {
      throw new MessageTooLargeError(event.position, message.payload.length, maxBytes)
    }
    return message
  }
}
