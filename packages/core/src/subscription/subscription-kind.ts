/** What is used of a subscription: a Node stream of either client, or any other async iterable. */
export interface Instrumentable {
  [Symbol.asyncIterator]?(): AsyncIterator<unknown>
  read?(): unknown
  emit?(event: string | symbol, ...args: unknown[]): boolean
  unsubscribe?(): unknown
  ack?(...events: unknown[]): unknown
  nack?(action: string, reason: string, ...events: unknown[]): unknown
}

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
