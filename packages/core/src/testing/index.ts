export { inMemoryCheckpoints } from './in-memory-checkpoints.ts'
export {
  type InMemoryEvent,
  type InMemoryEvents,
  type InMemoryTransaction,
  inMemoryEvents,
} from './in-memory-events.ts'
