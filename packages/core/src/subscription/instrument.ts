import { AlreadyMonitoredError, InvalidOptionError } from '../kernel/errors.ts'

/** What is used of a subscription: a Node stream of either client, or any other async iterable. */
interface Instrumentable {
  [Symbol.asyncIterator]?(): AsyncIterator<unknown>
  read?(): unknown
  emit?(event: string | symbol, ...args: unknown[]): boolean
  unsubscribe?(): unknown
  ack?(...events: unknown[]): unknown
  nack?(action: string, reason: string, ...events: unknown[]): unknown
}

/** Receives what happens to a subscription. Nothing here throws. */
export interface Probe {
  /** An item was handed over. */
  delivered(item: unknown): void
  /** From now on an iterator consumes it. */
  iterating(): void
  /** An iterator came back for the next. */
  cameBack(): void
  /** Its server has accepted it. */
  confirmed(): void
  serverSays(phase: 'caught_up' | 'fell_behind'): void
  dropped(error: unknown): void
  /** It came to its end without an error. */
  ended(): void
  /** Its consumer has left it, or has unsubscribed. */
  left(): void
  /** Nothing comes any more, not even from a buffer. */
  closed(): void
  acknowledged(action: string, events: readonly unknown[]): void
  unsubscribeFailed(error: unknown): void
  /** Waits for the next item, or for the error that this subscription is ended with. */
  orFailure<T>(coming: Promise<T>): Promise<T>
}

const MONITORED = Symbol.for('tidemark.monitored')

export function isPersistent(subscription: object): boolean {
  const { ack, nack } = subscription as Instrumentable
  return typeof ack === 'function' && typeof nack === 'function'
}

/** A Node stream emits each item, whichever way it is consumed. Of other emitters only their own events are seen. */
export function isStream(subscription: object): boolean {
  const { emit, read } = subscription as Instrumentable
  return typeof emit === 'function' && typeof read === 'function'
}

/** Whether it is of one of the clients, which emit `confirmation`. Of others nothing tells when they are open. */
export function isConfirmed(subscription: object): boolean {
  return isStream(subscription) && typeof (subscription as Instrumentable).unsubscribe === 'function'
}

/** The same probe as long as `isCurrent`: the clients emit errors of a call even when another one has taken its place. */
export function whileCurrent(probe: Probe, isCurrent: () => boolean): Probe {
  const tell =
    <Args extends readonly unknown[]>(report: (...args: Args) => void) =>
    (...args: Args): void => {
      if (isCurrent()) report(...args)
    }
  return {
    delivered: tell((item) => probe.delivered(item)),
    iterating: tell(() => probe.iterating()),
    cameBack: tell(() => probe.cameBack()),
    confirmed: tell(() => probe.confirmed()),
    serverSays: tell((phase) => probe.serverSays(phase)),
    dropped: tell((error) => probe.dropped(error)),
    ended: tell(() => probe.ended()),
    left: tell(() => probe.left()),
    closed: tell(() => probe.closed()),
    acknowledged: tell((action, events) => probe.acknowledged(action, events)),
    unsubscribeFailed: (error) => probe.unsubscribeFailed(error),
    orFailure: (coming) => probe.orFailure(coming),
  }
}

/**
 * Makes a subscription tell `probe`, through properties of its own: no listener (one for `data` or `readable` would start
 * the flow, one for `error` would keep an unhandled error from being thrown) and no Proxy (both clients have private
 * fields, which are not found through one).
 */
export function instrument(subscription: object, probe: Probe): void {
  // It is most likely `undefined`. `?.` avoids a TypeError of ours.
  if (typeof (subscription as Instrumentable | undefined)?.[Symbol.asyncIterator] !== 'function') {
    throw new InvalidOptionError('subscription', 'a stream or another async iterable', subscription)
  }
  if (MONITORED in subscription) {
    throw new AlreadyMonitoredError(
      'this subscription is monitored already; wrap it once, where it is made, and pass on what you got back',
    )
  }
  if (!Object.isExtensible(subscription)) {
    throw new InvalidOptionError('subscription', 'an object that is not frozen', subscription)
  }
  own(subscription, MONITORED, true)
  const leave = instrumentUnsubscribe(subscription, probe)
  if (isStream(subscription)) instrumentEmit(subscription, probe, leave)
  instrumentIterator(subscription, probe, leave)
  if (isPersistent(subscription)) instrumentAcknowledging(subscription, probe)
}

/** Not enumerable, as methods are not. */
function own(target: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, configurable: true, enumerable: false })
}

/**
 * Returns a function that ends the call behind the subscription, once. `break` only destroys the stream, and both
 * clients then leave the call open (`dist/streams/utils/Subscription.js`).
 */
function instrumentUnsubscribe(subscription: Instrumentable, probe: Probe): () => void {
  const { unsubscribe } = subscription
  let isDone = false
  if (typeof unsubscribe !== 'function') return () => probe.left()
  own(subscription, 'unsubscribe', function (this: unknown, ...args: []): unknown {
    isDone = true
    probe.left()
    return unsubscribe.apply(this, args)
  })
  return () => {
    probe.left()
    if (isDone) return
    isDone = true
    // Nobody waits for it: it may wait for a call that never begins.
    void (async () => await unsubscribe.call(subscription))().catch((error: unknown) =>
      probe.unsubscribeFailed(error),
    )
  }
}

/** Every event of a Node stream goes through `emit`; `data` also when an iterator or `read()` takes an item. */
function instrumentEmit(subscription: Instrumentable, probe: Probe, leave: () => void): void {
  const { emit } = subscription
  if (emit === undefined) return
  own(subscription, 'emit', function (this: unknown, ...args: Parameters<typeof emit>): boolean {
    const event = args[0]
    if (event === 'data') probe.delivered(args[1])
    else if (event === 'confirmation') probe.confirmed()
    else if (event === 'caughtUp') probe.serverSays('caught_up')
    else if (event === 'fellBehind') probe.serverSays('fell_behind')
    else if (event === 'error') probe.dropped(args[1])
    else if (event === 'end') probe.ended()
    else if (event === 'close') {
      leave()
      probe.closed()
    }
    return Reflect.apply(emit, this, args)
  })
}

function instrumentIterator(subscription: Instrumentable, probe: Probe, leave: () => void): void {
  const iterate = subscription[Symbol.asyncIterator]
  if (iterate === undefined) return
  const known = new WeakSet<object>()
  const instrumented = (iterator: AsyncIterator<unknown>): AsyncIterator<unknown> => {
    if (!known.has(iterator)) {
      known.add(iterator)
      instrumentNext(iterator, probe, leave, isStream(subscription))
      instrumentLeaving(iterator, probe, leave)
    }
    return iterator
  }
  // A generator is its own iterator, and may be asked without being iterated.
  if ('next' in subscription) instrumented(subscription as unknown as AsyncIterator<unknown>)
  own(subscription, Symbol.asyncIterator, function (this: unknown): AsyncIterator<unknown> {
    const iterator = instrumented(iterate.call(this as Instrumentable))
    probe.iterating()
    return iterator
  })
}

function instrumentNext(
  iterator: AsyncIterator<unknown>,
  probe: Probe,
  leave: () => void,
  tellsByItself: boolean,
): void {
  const next = iterator.next
  type Arguments = Parameters<typeof next>
  if (tellsByItself) {
    own(iterator, 'next', function (this: unknown, ...args: Arguments) {
      probe.cameBack()
      return Reflect.apply(next, this, args)
    })
    return
  }
  own(iterator, 'next', async function (this: unknown, ...args: Arguments) {
    probe.iterating()
    probe.cameBack()
    try {
      const result = await probe.orFailure(Reflect.apply(next, this, args))
      if (result.done) {
        probe.ended()
        probe.closed()
      } else probe.delivered(result.value)
      return result
    } catch (error) {
      probe.dropped(error)
      leave()
      probe.closed()
      throw error
    }
  })
}

/** What `for await` calls when its body breaks or throws; `throw` is what a stream made of it (`Readable.from`) calls. */
function instrumentLeaving(iterator: AsyncIterator<unknown>, probe: Probe, leave: () => void): void {
  const { return: end, throw: fail } = iterator
  if (fail !== undefined) {
    own(iterator, 'throw', async function (this: unknown, error?: unknown) {
      // A generator may catch it, and go on.
      let isOver = true
      try {
        const result = await fail.call(this as typeof iterator, error)
        isOver = result.done === true
        return result
      } finally {
        if (isOver) {
          leave()
          probe.closed()
        }
      }
    })
  }
  own(iterator, 'return', async function (this: unknown, value?: unknown) {
    leave()
    try {
      return end === undefined ? { done: true, value } : await end.call(this as typeof iterator, value)
    } finally {
      probe.closed()
    }
  })
}

function instrumentAcknowledging(subscription: Instrumentable, probe: Probe): void {
  const { ack, nack } = subscription
  if (ack === undefined || nack === undefined) return
  own(subscription, 'ack', function (this: unknown, ...events: unknown[]): unknown {
    return after(ack.apply(this, events), () => probe.acknowledged('ack', events))
  })
  own(
    subscription,
    'nack',
    function (this: unknown, action: string, reason: string, ...events: unknown[]): unknown {
      return after(nack.call(this, action, reason, ...events), () => probe.acknowledged(action, events))
    },
  )
}

/** Returns the same outcome. An unhandled rejection stays unhandled. */
function after(result: unknown, told: () => void): unknown {
  if (result instanceof Promise) {
    return result.then((value: unknown) => {
      told()
      return value
    })
  }
  told()
  return result
}
