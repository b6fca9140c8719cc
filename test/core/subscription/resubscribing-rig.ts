import { resubscribing, type Subscribe } from '@tidemark/core'
import { Call, ClientSubscription, event, type TestEvent } from './client-subscription.ts'
import { rig, sparseOrder, Unavailable } from './rig.ts'

interface LogRecord {
  readonly position: bigint
  /** Whether the subscription's filter lets it through. */
  readonly isWanted: boolean
}

/** A server with one log, which its subscriptions follow from where they begin. */
class TestServer {
  readonly log: LogRecord[] = []
  /** Where each subscription was asked to begin. */
  readonly begunAt: (bigint | 'start')[] = []
  readonly subscriptions: ClientSubscription[] = []
  readonly calls: Call[] = []
  /** Whether it refuses subscriptions, and with what. */
  refusal: Error | undefined
  /** Whether it confirms subscriptions, and then brings nothing. */
  isSilent = false
  /** Whether it tells where its filter has come to, after each record that it leaves out. */
  tellsCheckpoints = false
  #following: { readonly call: Call; sent: number } | undefined

  get head(): bigint | undefined {
    return this.log.at(-1)?.position
  }

  get isOpen(): boolean {
    return this.calls.some((call) => call.isOpen)
  }

  readonly subscribe: Subscribe<bigint, TestEvent> = (from, monitor) => {
    const call = new Call()
    const { checkpointReached } = this.tellsCheckpoints
      ? monitor.filter<{ checkpointReached?: (it: ClientSubscription, position: bigint) => void }>({})
      : {}
    const subscription = new ClientSubscription(call, checkpointReached)
    this.begunAt.push(from)
    this.calls.push(call)
    this.subscriptions.push(subscription)
    const { refusal } = this
    if (refusal) setImmediate(() => call.fail(refusal))
    else {
      call.tell('confirmation')
      const sent = from === 'start' ? 0 : this.log.filter(({ position }) => position <= from).length
      this.#following = { call, sent }
      this.#send()
    }
    return subscription
  }

  append(...records: readonly LogRecord[]): void {
    this.log.push(...records)
    this.#send()
  }

  events(from: number, to: number): void {
    for (let n = from; n <= to; n++) this.append({ position: BigInt(n), isWanted: true })
  }

  tell(kind: 'caughtUp' | 'fellBehind'): void {
    if (this.#isFollowed) this.#following?.call.tell(kind)
  }

  /** Ends the open call: with that error, or without one. */
  drop(error: Error | undefined = new Unavailable('gone')): void {
    if (this.#isFollowed) this.#following?.call.fail(error)
  }

  end(): void {
    if (this.#isFollowed) this.#following?.call.end()
  }

  get #isFollowed(): boolean {
    return this.#following?.call.isOpen ?? false
  }

  #send(): void {
    const following = this.#following
    if (following === undefined || !this.#isFollowed || this.isSilent) return
    for (const { position, isWanted } of this.log.slice(following.sent)) {
      if (isWanted) following.call.send(event(position))
      else if (this.tellsCheckpoints) following.call.checkpoint(position)
    }
    following.sent = this.log.length
  }
}

type Options = Parameters<typeof resubscribing<bigint, TestEvent>>[1]

/** A consumer that resubscribes, and a server that does what the test says. */
export function resubscribingRig(
  by: Partial<Omit<Options, 'source'>> & { readonly isFiltered?: boolean } = {},
) {
  const { isFiltered = false, ...options } = by
  const all = rig()
  const { source } = all
  const server = new TestServer()
  if (isFiltered) {
    source.order = sparseOrder
    source.yieldsEveryPosition = false
    source.isFiltered = true
    server.tellsCheckpoints = true
  }
  // Reads of the head that fail are set by the test; what they find is what the log has.
  Object.defineProperty(source, 'head', { get: () => server.head })
  source.readNext = async (after) => server.log.find(({ position }) => position > after)?.position
  const events = resubscribing(server.subscribe, { ...all.options, ...options, source })
  return { ...all, server, events }
}

/** A loop over it, and what became of both. */
export function consume(
  events: AsyncIterable<TestEvent>,
  handle: (event: TestEvent) => Promise<void> | void = () => {},
) {
  const consumed = { positions: [] as bigint[], outcome: undefined as unknown, isOver: false }
  const loop = async (): Promise<void> => {
    for await (const each of events) {
      await handle(each)
      consumed.positions.push(each.position)
    }
  }
  loop()
    .catch((error: unknown) => {
      consumed.outcome = error
    })
    .finally(() => {
      consumed.isOver = true
    })
  return consumed
}
