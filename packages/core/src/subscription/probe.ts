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
