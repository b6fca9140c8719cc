/**
 * The same filter, whose checkpoints are told first. `checkpointReached` of the user's own follows, and is waited for, where
 * `reached` returns that it is to be.
 */
export function monitoredFilter<P, F extends object>(
  filter: F,
  reached: (position: P, buffered: number) => boolean,
): F {
  return {
    ...filter,
    checkpointReached: (subscription: { readonly readableLength?: number }, position: P): unknown => {
      const isHandedOn = reached(position, subscription.readableLength ?? 0)
      // Of what is no position: whoever kept it would begin there, and never be given an event again.
      if (!isHandedOn) return undefined
      const { checkpointReached } = filter as {
        checkpointReached?: (subscription: unknown, position: P) => unknown
      }
      return checkpointReached?.call(filter, subscription, position)
    },
  }
}
