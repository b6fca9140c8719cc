export { type EsdbCheckpointsOptions, esdbCheckpoints } from './checkpoints.ts'
export type {
  EsdbCheckpointsClient,
  EsdbClient,
  EsdbEvent,
  EsdbPosition,
  EsdbRecord,
  EsdbSubscription,
} from './client.ts'
export type { ClientOption } from './client-in-use.ts'
export {
  CheckpointFormatError,
  EsdbReadEndedEarlyError,
  EsdbReaderUnavailableError,
  EsdbTimeoutError,
} from './errors.ts'
export type { EsdbFilter } from './filter.ts'
export { ESDB_EVENTS_DEFAULTS, type EsdbAllEventsOptions, type EsdbStreamEventsOptions } from './options.ts'
export { type AllEvent, type EsdbEventSource, esdbEvents, type StreamEvent } from './source.ts'
export {
  type EsdbAllGroupOptions,
  type EsdbGroupClient,
  type EsdbGroupInfo,
  type EsdbStreamGroupOptions,
  esdbConsumerGroup,
} from './subscription/consumer-group.ts'
export {
  monitorPersistentSubscription,
  type PersistentSubscriptionOptions,
} from './subscription/persistent.ts'
export { isTransientEsdbError } from './transience.ts'
export { esdbConsumers } from './watch/consumers.ts'
export type {
  EsdbConsumersOptions,
  WatchedCheckpointStream,
  WatchedGroup,
} from './watch/consumers-options.ts'
export { watchedEsdbEvents } from './watch/watched-events.ts'
