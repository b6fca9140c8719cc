import { type MonitorOptions, monitorSubscription, type SubscriptionMonitor } from '@tidemark/core'
import { requireKnownOptions, type SubscriptionSource } from '@tidemark/core/adapter'
import type { EsdbEvent } from '../client.ts'
import {
  type EsdbAllGroupOptions,
  type EsdbGroupClient,
  type EsdbStreamGroupOptions,
  esdbConsumerGroup,
} from './consumer-group.ts'

/** Which group it is, and the options of `monitorSubscription` that mean something for one. */
export type PersistentSubscriptionOptions = (
  | EsdbStreamGroupOptions<EsdbGroupClient>
  | EsdbAllGroupOptions<EsdbGroupClient>
) &
  Omit<MonitorOptions<unknown, never>, 'projection' | 'source' | 'from' | 'stallAfterMs' | 'traceContext'> & {
    /**
     * Names what consumes the subscription, in metrics, spans and messages.
     * - Change it when: two consumers of one group are to be told apart.
     * @default `name`
     */
    readonly projection?: string
  }

const OPTIONS: Readonly<Record<keyof PersistentSubscriptionOptions, true>> = {
  client: true,
  stream: true,
  group: true,
  projection: true,
  name: true,
  timeoutMs: true,
  headIntervalMs: true,
  metrics: true,
  logger: true,
  telemetry: true,
  onTelemetryError: true,
  clock: true,
}

/**
 * Tells what goes on with a persistent subscription that you already have, and with its group: besides what
 * `monitorSubscription` tells (`ack` and `nack` are counted), what the server says of how far the group has come, what is
 * parked and what is outstanding, every `headIntervalMs`. Throws `InvalidOptionError`.
 *
 * ```ts
 * const monitor = monitorPersistentSubscription({ client, stream: 'orders', group: 'mailer', metrics })
 * const mails = monitor.wrap(client.subscribeToPersistentSubscriptionToStream('orders', 'mailer'))
 * ```
 */
export function monitorPersistentSubscription(
  options: PersistentSubscriptionOptions,
): SubscriptionMonitor<unknown, EsdbEvent> {
  requireKnownOptions(options, OPTIONS)
  const { client, stream, group, name, timeoutMs, projection, ...monitoring } = options
  // Whether it is of a stream or of $all makes no difference from here on.
  const source: SubscriptionSource<unknown, EsdbEvent> = esdbConsumerGroup({
    client,
    stream,
    group,
    name,
    timeoutMs,
  } as EsdbStreamGroupOptions<EsdbGroupClient>)
  return monitorSubscription({ ...monitoring, projection: projection ?? source.name, source })
}
