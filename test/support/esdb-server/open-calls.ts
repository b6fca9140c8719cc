import type { ServiceError } from '@grpc/grpc-js'
import { type CallIdentity, fits } from './call-filter.ts'
import type { Misbehaviour } from './misbehaviour.ts'
import type { CallFilter, CallKind } from './steering.ts'

/** What is used of a call whose answer is a stream, of @grpc/grpc-js. */
export interface ResponseStream<Message> {
  readonly cancelled: boolean
  getPeer(): string
  write(message: Message): boolean
  end(): void
  emit(event: 'error', error: ServiceError): boolean
  on(event: 'drain' | 'cancelled', listener: () => void): unknown
}

/** A call that is under way. */
export class OpenCall<Message = unknown> implements CallIdentity {
  readonly kind: CallKind
  readonly stream: string
  readonly group: string
  readonly #call: ResponseStream<Message>
  readonly #misbehaviour: Misbehaviour
  readonly #ended = new AbortController()
  /** Sends that wait until the client has read what went before. */
  readonly #waiting = new Set<() => void>()
  sent = 0

  constructor(
    call: ResponseStream<Message>,
    misbehaviour: Misbehaviour,
    { kind, stream, group = '' }: { kind: CallKind; stream: string; group?: string },
  ) {
    this.#call = call
    this.#misbehaviour = misbehaviour
    this.kind = kind
    this.stream = stream
    this.group = group
    call.on('cancelled', () => this.#ended.abort())
    call.on('drain', () => this.#release())
    this.ended.addEventListener('abort', () => this.#release(), { once: true })
  }

  /** `address:port` of the client. */
  get peer(): string {
    return this.#call.getPeer()
  }

  /** Aborts when the call is over, whoever ended it. */
  get ended(): AbortSignal {
    return this.#ended.signal
  }

  /** Resolves when the next one may be sent: at the client's speed. */
  async send(message: Message): Promise<void> {
    if (this.#misbehaviour.concerns(this)) await this.#misbehaviour.hold(this)
    if (this.ended.aborted) return
    this.sent++
    if (this.#call.write(message)) return
    await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  end(): void {
    if (this.ended.aborted) return
    this.#ended.abort()
    this.#call.end()
  }

  fail(error: ServiceError): void {
    if (this.ended.aborted) return
    this.#ended.abort()
    this.#call.emit('error', error)
  }

  #release(): void {
    for (const resume of this.#waiting) resume()
    this.#waiting.clear()
  }
}

const KINDS: readonly CallKind[] = ['read', 'subscription', 'persistent-subscription', 'append', 'other']

const none = (): Record<CallKind, number> => ({
  read: 0,
  subscription: 0,
  'persistent-subscription': 0,
  append: 0,
  other: 0,
})

/** Every call, for counting and for misbehaving. */
export class OpenCalls {
  readonly received: Record<CallKind, number> = none()
  readonly #open = new Set<OpenCall<never>>()
  readonly #unary: Record<CallKind, number> = none()

  add(call: OpenCall<never>): void {
    this.received[call.kind]++
    this.#open.add(call)
    call.ended.addEventListener('abort', () => this.#open.delete(call), { once: true })
  }

  /** Counts a call that has one answer; to be called when it was given. */
  addUnary(kind: CallKind): () => void {
    this.received[kind]++
    this.#unary[kind]++
    return () => this.#unary[kind]--
  }

  get open(): Record<CallKind, number> {
    const counts = none()
    for (const kind of KINDS) counts[kind] = this.#unary[kind] + this.filter({ kind }).length
    return counts
  }

  filter(which: CallFilter): OpenCall<never>[] {
    return [...this.#open].filter((call) => fits(which, call))
  }
}
