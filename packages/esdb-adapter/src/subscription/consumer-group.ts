import {
  type ConsumerGroup,
  type PositionOrder,
  requireKnownOptions,
  type SubscriptionSource,
} from '@tidemark/core/adapter'
import type { EsdbClient, EsdbEvent, EsdbPosition } from '../client.ts'
import { type ClientInUse, type ClientOption, clientInUse } from '../client-in-use.ts'
import { requireText, resolveTimeout } from '../options.ts'
import { answered } from '../read.ts'
import { type AllEvent, esdbEvents, type StreamEvent } from '../source.ts'

/** What the group of a persistent subscription needs of the client, besides reading events. */
export interface EsdbGroupClient extends EsdbClient {
  /** Made up by the client, or set in its connection string. */
  readonly connectionName: string
  getPersistentSubscriptionToStreamInfo(stream: string, group: string): Promise<EsdbGroupInfo>
  getPersistentSubscriptionToAllInfo(group: string): Promise<EsdbGroupInfo>
}

/** Both clients' `PersistentSubscriptionToStreamInfo` and `PersistentSubscriptionToAllInfo`. */
export interface EsdbGroupInfo {
  /** `Live`, `Behind`, or several: `OutstandingPageRequest, Behind`, `ReplayingParkedMessages, Live`. */
  readonly status: string
  readonly stats: {
    readonly parkedMessageCount: bigint
    readonly outstandingMessagesCount: number
    readonly lastCheckpointedEventRevision?: bigint | undefined
    readonly lastKnownEventRevision?: bigint | undefined
    readonly lastCheckpointedEventPosition?: EsdbPosition | undefined
    readonly lastKnownEventPosition?: EsdbPosition | undefined
  }
  readonly connections: readonly { readonly connectionName: string; readonly inFlightMessages: number }[]
}

interface GroupOptions<C> {
  /**
   * The client that the application has, which is never disposed of here; or a function that makes one, see `ClientOption`:
   * then the consumers of this process are told from others only where its connection string has the `connectionName` of
   * their client. Reading the group needs the right to do so: an administrator's, by default.
   */
  readonly client: ClientOption<C>
  /** The group's name. */
  readonly group: string
  /**
   * Names the group in metrics and messages.
   * - Change it when: two groups of a process would have the same name, as in two clusters.
   * @default `stream::group`, as the server does
   */
  readonly name?: string
  /**
   * How long a read may go unanswered before it is given up, until the next is due.
   * - Raising it: a server that hangs goes unnoticed for longer.
   * - Lowering it: on a slow server the figures of the group are missing more often.
   * - Change it when: reads of the group fail on a slow server.
   * @default 30000
   */
  readonly timeoutMs?: number
}

/** Of a group of one stream. */
export interface EsdbStreamGroupOptions<C> extends GroupOptions<C> {
  /** The stream that the group subscribes to. */
  readonly stream: string
}

/** Of a group of `$all`. */
export interface EsdbAllGroupOptions<C> extends GroupOptions<C> {
  readonly stream?: never
}

const OPTIONS: Readonly<Record<keyof EsdbStreamGroupOptions<unknown>, true>> = {
  client: true,
  stream: true,
  group: true,
  name: true,
  timeoutMs: true,
}

/**
 * The group of a persistent subscription to one stream, or to `$all`, for `monitorSubscription`:
 * its position is the one that the server last wrote down, and its server says what is parked and outstanding. Throws
 * `InvalidOptionError`.
 */
export function esdbConsumerGroup<C extends EsdbGroupClient>(
  options: EsdbStreamGroupOptions<C>,
): SubscriptionSource<bigint, StreamEvent<C>>
export function esdbConsumerGroup<C extends EsdbGroupClient>(
  options: EsdbAllGroupOptions<C>,
): SubscriptionSource<EsdbPosition, AllEvent<C>>
export function esdbConsumerGroup<C extends EsdbGroupClient>(
  options: EsdbStreamGroupOptions<C> | EsdbAllGroupOptions<C>,
): SubscriptionSource<bigint, StreamEvent<C>> | SubscriptionSource<EsdbPosition, AllEvent<C>> {
  requireKnownOptions(options, OPTIONS)
  const { client, stream, group } = options
  const inUse: ClientInUse<EsdbGroupClient> = clientInUse<EsdbGroupClient>(client, [
    'getPersistentSubscriptionToStreamInfo',
    'getPersistentSubscriptionToAllInfo',
  ])
  requireText('group', group)
  const name = requireText('name', options.name ?? `${stream ?? '$all'}::${group}`)
  const timeoutMs = resolveTimeout(options.timeoutMs)
  const read = (signal: AbortSignal, call: GroupCall): Promise<EsdbGroupInfo> =>
    answered(`the group ${name}`, { timeoutMs, signal }, () => inUse.call(call))
  if (stream === undefined) {
    return groupOf(esdbEvents({ client, name, timeoutMs }), inUse, async (signal) => {
      const info = await read(signal, (it) => it.getPersistentSubscriptionToAllInfo(group))
      const { lastCheckpointedEventPosition: checkpoint, lastKnownEventPosition: lastKnown } = info.stats
      return { checkpoint, lastKnown, ...info }
    })
  }
  return groupOf(esdbEvents({ client, stream, name, timeoutMs }), inUse, async (signal) => {
    const info = await read(signal, (it) => it.getPersistentSubscriptionToStreamInfo(stream, group))
    const { lastCheckpointedEventRevision: checkpoint, lastKnownEventRevision: lastKnown } = info.stats
    return { checkpoint, lastKnown, ...info }
  })
}

type GroupCall = (client: EsdbGroupClient) => Promise<EsdbGroupInfo>

interface Found<P> extends EsdbGroupInfo, Pick<ConsumerGroup<P>, 'checkpoint' | 'lastKnown'> {}

function groupOf<P, E extends EsdbEvent>(
  events: SubscriptionSource<P, E>,
  client: ClientInUse<EsdbGroupClient>,
  readInfo: (signal: AbortSignal) => Promise<Found<P>>,
): SubscriptionSource<P, E> {
  const order: PositionOrder<P> = events.order
  return {
    name: events.name,
    order,
    // Competing consumers and retries: no consumer gets everything, nor in order.
    yieldsEveryPosition: false,
    describe: (event) => events.describe(event),
    readHead: (signal, how) => events.readHead(signal, how),
    readGroup: async (signal) => {
      const { checkpoint, lastKnown, stats, connections, status } = await readInfo(signal)
      return {
        isLive: status.split(', ').includes('Live'),
        checkpoint,
        lastKnown,
        parked: stats.parkedMessageCount,
        outstanding: stats.outstandingMessagesCount,
        consumers: connections.map(({ connectionName, inFlightMessages }) => ({
          name: connectionName,
          inFlight: inFlightMessages,
          isOwn: connectionName === client.current.connectionName,
        })),
      }
    },
    dropReason: (error) => events.dropReason(error),
  }
}
