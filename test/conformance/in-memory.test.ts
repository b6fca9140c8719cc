import {
  checkpointStoreConformance,
  type EventSourceFixture,
  eventSourceConformance,
  type InMemoryEvent,
  inMemoryCheckpoints,
  inMemoryEvents,
} from '@tidemark/core/testing'
import { register } from './register.ts'
import { DENSE_SAMPLES } from './samples.ts'

register(
  'events in memory',
  eventSourceConformance({
    make: async (): Promise<EventSourceFixture<bigint, InMemoryEvent<string>>> => {
      const events = inMemoryEvents<string>()
      return {
        open: () => events,
        samplePositions: DENSE_SAMPLES,
        append: async (appended) => {
          for (const { id, type } of appended) events.append(type, id)
        },
        idOf: (event) => event.data,
        begin: async () => {
          const transaction = events.begin()
          return {
            append: async ({ id, type }) => void transaction.append(type, id),
            commit: async () => transaction.commit(),
            rollback: async () => transaction.rollback(),
          }
        },
      }
    },
    capabilities: ['dense_positions', 'type_filter', 'wake_ups', 'open_transactions'],
  }),
)

register(
  'checkpoints in memory',
  checkpointStoreConformance({
    make: async () => {
      const checkpoints = inMemoryCheckpoints()
      return { open: () => checkpoints }
    },
    capabilities: [
      'locks',
      'remembers_settled',
      'counts_skips',
      'follows_operators',
      'keeps_dead_letters',
      'keeps_late_events',
      'keeps_lost_events',
      'counts_deaths',
      'gives_leases',
      'keeps_failures',
    ],
  }),
)
