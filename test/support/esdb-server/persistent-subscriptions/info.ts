import type { Log } from '../log.ts'
import { persistent } from '../protocol.ts'
import type { Group } from './group.ts'
import type { Subscriber } from './subscriber.ts'
import { parkedCount } from './system-streams.ts'

/** PersistentSubscriptionStats.GetStatistics. What is measured over time here is 0: no test can depend on it. */
export function subscriptionInfo(log: Log, group: Group): persistent.SubscriptionInfo {
  const { settings, source } = group
  const { startFrom } = settings
  const { lastCheckpoint } = group.progress
  const inFlight = group.subscribers.reduce((sum, subscriber) => sum + subscriber.inFlight, 0)
  return new persistent.SubscriptionInfo()
    .setEventSource(settings.source)
    .setGroupName(settings.group)
    .setStatus(group.isLive ? 'Live' : 'Behind')
    .setConnectionsList(group.subscribers.map(connectionInfo))
    .setAveragePerSecond(0)
    .setTotalItems(String(group.totalItems))
    .setCountSinceLastMeasurement('0')
    .setLastCheckpointedEventPosition(lastCheckpoint ? source.format(lastCheckpoint) : '')
    .setLastKnownEventPosition(group.lastKnown ? source.format(group.lastKnown) : '')
    .setResolveLinkTos(settings.resolveLinks)
    .setStartFrom(source.format(startFrom === 'live' ? { commit: -1n, prepare: -1n } : startFrom))
    .setMessageTimeoutMilliseconds(settings.messageTimeoutMs)
    .setExtraStatistics(settings.extraStatistics)
    .setMaxRetryCount(settings.maxRetryCount)
    .setLiveBufferSize(settings.liveBufferSize)
    .setBufferSize(settings.historyBufferSize)
    .setReadBatchSize(settings.readBatchSize)
    .setCheckPointAfterMilliseconds(settings.checkpointAfterMs)
    .setMinCheckPointCount(settings.minCheckpointCount)
    .setMaxCheckPointCount(settings.maxCheckpointCount)
    .setReadBufferCount(group.buffered)
    .setLiveBufferCount('0')
    .setRetryBufferCount(group.retries.length)
    .setTotalInFlightMessages(inFlight)
    .setOutstandingMessagesCount(group.outstanding.size)
    .setNamedConsumerStrategy(settings.strategy)
    .setMaxSubscriberCount(settings.maxSubscriberCount)
    .setParkedMessageCount(String(parkedCount(log, group.key)))
}

function connectionInfo(subscriber: Subscriber): persistent.SubscriptionInfo.ConnectionInfo {
  return new persistent.SubscriptionInfo.ConnectionInfo()
    .setFrom(subscriber.from)
    .setUsername('anonymous')
    .setAverageItemsPerSecond(0)
    .setTotalItems(String(subscriber.totalItems))
    .setCountSinceLastMeasurement('0')
    .setAvailableSlots(subscriber.availableSlots)
    .setInFlightMessages(subscriber.inFlight)
    .setConnectionName(subscriber.connectionName)
}
