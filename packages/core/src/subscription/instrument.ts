import { AlreadyMonitoredError, InvalidOptionError } from '../kernel/errors.ts'
import { instrumentIterator } from './instrument-iterator.ts'
import { own } from './own-property.ts'
import type { Probe } from './probe.ts'
import { type Instrumentable, isPersistent, isStream } from './subscription-kind.ts'

const MONITORED = Symbol.for('tidemark.monitored')

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
