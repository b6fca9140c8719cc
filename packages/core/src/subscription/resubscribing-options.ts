import { InvalidOptionError } from '../kernel/errors.ts'
import type { SubscriptionSource } from '../ports/subscription-source.ts'
import { type MonitorOptions, type ResolvedMonitorOptions, resolveMonitorOptions } from './options.ts'

/** A source that tells which errors pass by themselves. */
export type ResubscribableSource<P, Item> = SubscriptionSource<P, Item> &
  Required<Pick<SubscriptionSource<P, Item>, 'isTransient'>>

/** Of `resubscribing`: those of `monitorSubscription`, and when to stop. */
export interface ResubscribingOptions<P, Item> extends Omit<MonitorOptions<P, Item>, 'source' | 'from'> {
  /** What is subscribed to, as an adapter describes it. Not a consumer group: its server redelivers. */
  readonly source: ResubscribableSource<P, Item>
  /**
   * Where the first subscription begins: the stored position, exclusive, or `'start'` or `'end'`. The end is where the
   * leader's head stands when the loop begins: what is appended from then on is not lost, however late a subscription comes
   * about.
   * - Change it when: a position is stored. Without it every start of the process begins with the first event.
   * @default 'start'
   */
  readonly from?: P | 'start' | 'end'
  /**
   * Ends the loop as if the events had ended: at once while it waits, or when it asks for the next.
   * - Change it when: the process is to end the loop from outside, as at SIGTERM.
   * @default none
   */
  readonly signal?: AbortSignal
}

export interface ResolvedResubscribingOptions<P, Item> extends ResolvedMonitorOptions<P, Item> {
  readonly source: ResubscribableSource<P, Item>
  readonly signal: AbortSignal | undefined
}

/** For errors. */
export const CATCH_UP_ONLY: string =
  '(the server redelivers what a persistent one has not acknowledged: subscribe to it again in a loop of your own, and ' +
  'wrap each)'

export function resolveResubscribingOptions<P, Item>(
  options: ResubscribingOptions<P, Item>,
): ResolvedResubscribingOptions<P, Item> {
  const { signal, ...monitoring } = options
  const resolved = resolveMonitorOptions(monitoring)
  requireResubscribable(options.source)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  }
  return { ...resolved, source: options.source, signal }
}

function requireResubscribable<P, Item>(source: SubscriptionSource<P, Item>): void {
  if (source.readGroup !== undefined) {
    throw new InvalidOptionError('source', `that of a catch-up subscription ${CATCH_UP_ONLY}`, source)
  }
  if (typeof source.isTransient !== 'function') {
    throw new InvalidOptionError('source', 'a SubscriptionSource with isTransient', source)
  }
}
