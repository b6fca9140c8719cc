export type {
  CheckpointStoreCapability,
  CheckpointStoreFixture,
} from './conformance/checkpoint-store/fixture.ts'
export {
  CHECKPOINT_STORE_CAPABILITIES,
  checkpointStoreConformance,
} from './conformance/checkpoint-store-conformance.ts'
export type {
  ConformanceEvent,
  ConformanceTransaction,
  EventSourceCapability,
  EventSourceFixture,
} from './conformance/event-source/fixture.ts'
export {
  EVENT_SOURCE_CAPABILITIES,
  eventSourceConformance,
} from './conformance/event-source-conformance.ts'
export type {
  ConformanceCase,
  ConformanceOptions,
  ConformanceSuite,
  LeftOutCase,
} from './conformance/suite.ts'
export { type InMemoryCheckpointsOptions, inMemoryCheckpoints } from './in-memory-checkpoints.ts'
export {
  type InMemoryEvent,
  type InMemoryEvents,
  type InMemoryEventsOptions,
  type InMemoryRow,
  type InMemoryTransaction,
  inMemoryEvents,
  type MappedInMemoryEventsOptions,
} from './in-memory-events.ts'
