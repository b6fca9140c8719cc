import { InvalidOptionError } from '../kernel/errors.ts'
import { instrument } from './instrument.ts'
import type { Monitor } from './monitor.ts'
import type { SubscriptionMonitor } from './monitor-subscription.ts'
import { monitoredFilter } from './monitored-filter.ts'
import { whileCurrent } from './probe.ts'
import { CATCH_UP_ONLY } from './resubscribing-options.ts'
import { isPersistent, isStream } from './subscription-kind.ts'

/** Where the user makes the next subscription. */
export type Subscribe<P, Item> = (
  /** Exclusive. */
  from: P | 'start',
  /** For a filtered subscription to `$all`: pass its filter through `filter`, anew each time. */
  monitor: Pick<SubscriptionMonitor<P, never>, 'filter'>,
) => AsyncIterable<Item>

/** One subscription of several. */
export interface Round<Item> {
  readonly subscription: AsyncIterable<Item>
  readonly iterator: AsyncIterator<Item>
}

/** Makes the subscription, and has it monitored for as long as `isCurrent`. */
export function makeRound<P, Item>(
  subscribe: Subscribe<P, Item>,
  from: P | undefined,
  monitor: Monitor<P, Item>,
  isCurrent: (subscription: AsyncIterable<Item>) => boolean,
): Round<Item> {
  let made: AsyncIterable<Item> | undefined
  // Nothing counts that comes of one which another has followed.
  const isItsTurn = (): boolean => made !== undefined && isCurrent(made)
  const filter = <F extends object>(given: F): F => {
    monitor.expectFilter()
    return monitoredFilter<P, F>(
      given,
      (position, buffered) => isItsTurn() && monitor.checkpointReached(position, buffered),
    )
  }
  const subscription = subscribe(from ?? 'start', { filter })
  made = subscription
  try {
    instrument(subscription, whileCurrent(monitor, isItsTurn))
    if (isPersistent(subscription)) {
      const expected = `a function that makes a catch-up subscription ${CATCH_UP_ONLY}`
      throw new InvalidOptionError('subscribe', expected, subscription)
    }
  } catch (error) {
    abandon(subscription, monitor)
    throw error
  }
  return { subscription, iterator: subscription[Symbol.asyncIterator]() }
}

/** Leaves it for good. `isWaitedFor`: whether its next event is. */
export async function leaveRound<P, Item>(
  { subscription, iterator }: Round<Item>,
  monitor: Monitor<P, Item>,
  isWaitedFor: boolean,
): Promise<void> {
  // It unsubscribes at once. What is waited for in a stream ends when that is destroyed, and nothing else ends it.
  const left = iterator.return?.()
  if (isStream(subscription)) destroy(subscription)
  else if (isWaitedFor) {
    left?.catch((error: unknown) => monitor.unsubscribeFailed(error))
    return
  }
  await left
}

/** What is not monitored is not left open either. */
function abandon<P, Item>(subscription: unknown, monitor: Monitor<P, Item>): void {
  if (typeof subscription !== 'object' || subscription === null) return
  // The clients emit errors of a call even after its end, which would end the process where nobody listens.
  if (isStream(subscription)) (subscription as NodeJS.EventEmitter).on('error', () => {})
  const { unsubscribe } = subscription as { unsubscribe?(): unknown }
  void (async () => await unsubscribe?.call(subscription))().catch((error: unknown) =>
    monitor.unsubscribeFailed(error),
  )
  destroy(subscription)
}

function destroy(subscription: object): void {
  ;(subscription as { destroy?(): unknown }).destroy?.()
}
