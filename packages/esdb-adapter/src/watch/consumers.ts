import type { ConsumerCheckpoints, StoredConsumer } from '@tidemark/core/adapter'
import { allLog } from '../all-log.ts'
import type { EsdbPosition, EsdbRecord } from '../client.ts'
import { hasType } from '../client-errors.ts'
import type { EventLog } from '../event-log.ts'
import { allFilter } from '../filter.ts'
import { readNewest } from '../high-water.ts'
import { isInLog } from '../position.ts'
import { answered, type CallLimits } from '../read.ts'
import { streamLog } from '../stream-log.ts'
import type { EsdbGroupInfo } from '../subscription/consumer-group.ts'
import {
  type EsdbConsumersOptions,
  groupName,
  type ResolvedEsdbConsumersOptions,
  resolveEsdbConsumersOptions,
  type WatchedCheckpointStream,
  type WatchedGroup,
} from './consumers-options.ts'
import { placeOf } from './place.ts'
import { storedAllPosition, storedIn, storedRevision } from './stored-position.ts'

type Options = ResolvedEsdbConsumersOptions

/** Of what is no checkpoint, in a status. */
const MOST_TEXT = 100

/**
 * Groups of persistent subscriptions, and checkpoint streams, of consumers that Tidemark does not run, for `createWatch` beside
 * `watchedEsdbEvents(...)`: where each stands, whether that is still in its log, how far behind it is, and what is parked.
 * Reads some events a look, and writes nothing. Throws `InvalidOptionError`.
 */
export function esdbConsumers(options: EsdbConsumersOptions): ConsumerCheckpoints {
  const resolved = resolveEsdbConsumersOptions(options)
  return {
    name: resolved.name,
    eventTypes: {},
    read: (signal) => {
      const limits = { timeoutMs: resolved.timeoutMs, signal }
      return Promise.all([
        ...resolved.groups.map((group) => readGroup(resolved, group, limits)),
        ...resolved.checkpointStreams.map((stream) => readCheckpointStream(resolved, stream, limits)),
      ])
    },
  }
}

async function readGroup(options: Options, group: WatchedGroup, limits: CallLimits): Promise<StoredConsumer> {
  const consumer = groupName(group)
  let info: EsdbGroupInfo
  try {
    info = await answered(`the group ${consumer}`, limits, () =>
      options.client.call((client) =>
        group.stream === '$all'
          ? client.getPersistentSubscriptionToAllInfo(group.group)
          : client.getPersistentSubscriptionToStreamInfo(group.stream, group.group),
      ),
    )
  } catch (error) {
    if (!hasType(error, 'persistent-subscription-does-not-exist')) throw error
    return unplaced(consumer, 'no such group')
  }
  const { parkedMessageCount: parked, ...stats } = info.stats
  const of = { consumer, parked, absent: 'no checkpoint yet', limits }
  if (group.stream !== '$all') {
    return stand(of, inStream(options, group.stream), stats.lastCheckpointedEventRevision)
  }
  const position = stats.lastCheckpointedEventPosition
  return stand(of, inAll(options), position && isInLog(position) ? position : undefined)
}

async function readCheckpointStream(
  options: Options,
  { stream, of, field }: WatchedCheckpointStream,
  limits: CallLimits,
): Promise<StoredConsumer> {
  let last: EsdbRecord | undefined
  try {
    last = await readNewest(streamLog(options.client, stream, false), limits, { requiresLeader: true })
  } catch (error) {
    if (!hasType(error, 'stream-deleted')) throw error
    return unplaced(stream, 'its checkpoint stream was deleted')
  }
  if (last === undefined) return unplaced(stream, 'no checkpoint yet')
  const stored = storedIn(last.data, field)
  const absent = `no position: ${JSON.stringify(stored)?.slice(0, MOST_TEXT) ?? 'no such field'}`
  const consumer = { consumer: stream, parked: undefined, absent, limits }
  return of === '$all'
    ? stand(consumer, inAll(options), storedAllPosition(stored))
    : stand(consumer, inStream(options, of), storedRevision(stored))
}

/** A log, and what its positions are to a watch. */
interface ConsumedLog<P> {
  readonly log: EventLog<P>
  numberOf(position: P): bigint
  lagOf(head: P, checkpoint: P): bigint | undefined
}

function inStream({ client }: Options, stream: string): ConsumedLog<bigint> {
  return {
    log: streamLog(client, stream, false),
    numberOf: (revision) => revision,
    lagOf: (head, checkpoint) => head - checkpoint,
  }
}

/** Its distances are bytes: no lag. */
function inAll({ client }: Options): ConsumedLog<EsdbPosition> {
  return {
    log: allLog(client, allFilter(undefined), false),
    numberOf: ({ commit }) => commit,
    lagOf: () => undefined,
  }
}

interface Consumer {
  readonly consumer: string
  readonly parked: bigint | undefined
  /** What is said where there is no checkpoint. */
  readonly absent: string
  readonly limits: CallLimits
}

async function stand<P>(
  { consumer, parked, absent, limits }: Consumer,
  { log, numberOf, lagOf }: ConsumedLog<P>,
  checkpoint: P | undefined,
): Promise<StoredConsumer> {
  if (checkpoint === undefined) return unplaced(consumer, absent, parked)
  const { place, head } = await placeOf(log, checkpoint, limits)
  const isKnown = head !== undefined && place !== 'beyond_log'
  return {
    consumer,
    checkpoint: { kind: 'position', position: numberOf(checkpoint) },
    text: log.order.format(checkpoint),
    run: undefined,
    inLog: { place, lagPositions: isKnown ? lagOf(head, checkpoint) : undefined, parked },
  }
}

function unplaced(consumer: string, text: string, parked?: bigint): StoredConsumer {
  const inLog = { place: undefined, lagPositions: undefined, parked }
  return { consumer, checkpoint: undefined, text, run: undefined, inLog }
}
