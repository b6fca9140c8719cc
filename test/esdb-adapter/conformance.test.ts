import type { CheckpointStore, StoredUnit, Unit } from '@tidemark/core'
import {
  type ConformanceEvent,
  checkpointStoreConformance,
  type EventSourceFixture,
  eventSourceConformance,
} from '@tidemark/core/testing'
import { type EsdbEvent, type EsdbPosition, esdbCheckpoints, esdbEvents } from '@tidemark/esdb-adapter'
import { expect } from 'vitest'
import { register } from '../conformance/register.ts'
import { client, expecting } from './client.ts'
import { useServer } from './rig.ts'
import { describeSteered, isSimulated } from './server-in-use.ts'

const esdb = useServer()

/** A restart of the server is noticed by the next call, whichever client makes it: connections are shared. */
async function reconnected(): Promise<void> {
  const readLast = async (): Promise<void> => {
    for await (const _ of esdb.client.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 }));
  }
  await expect.poll(readLast, { timeout: 30_000 }).toBeUndefined()
}

/** What the two sources have in common: events of one stream, in a log that has nothing else. */
async function fixture(stream: string, read: string) {
  await reconnected()
  let appended: readonly ConformanceEvent[] = []
  const append = async (events: readonly ConformanceEvent[]): Promise<void> => {
    const data = events.map(({ id, type }) => client.jsonEvent({ type, data: { id } }))
    await esdb.client.appendToStream(stream, data, expecting('any'))
  }
  return {
    append: async (events: readonly ConformanceEvent[]) => {
      appended = [...appended, ...events]
      await append(events)
    },
    idOf: ({ event }: EsdbEvent) => String((event?.data as { id?: unknown } | undefined)?.id),
    stall: async () => {
      await esdb.server.stall({ kind: 'read', stream: read })
      return () => esdb.server.resume()
    },
    rewind: async () => {
      await esdb.server.restart({ keepLog: false })
      await reconnected()
      await append(appended.slice(0, -1))
    },
  }
}

register(
  'events of a stream',
  eventSourceConformance({
    make: async (): Promise<EventSourceFixture<bigint, EsdbEvent>> => {
      const stream = esdb.own('orders')
      let deleted = 0
      return {
        ...(await fixture(stream, stream)),
        open: () => esdbEvents({ client: esdb.client, stream }),
        samplePositions: [0n, 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n],
        deleteOldest: async (count) => {
          deleted += count
          await esdb.client.setStreamMetadata(stream, { truncateBefore: deleted })
        },
      }
    },
    capabilities: [
      'dense_positions',
      'type_filter',
      'append_times',
      'wake_ups',
      'deletes',
      ...(isSimulated ? (['stalls', 'rewinds'] as const) : []),
    ],
  }),
)

// Each case wants a log without other events.
describeSteered('alone', () => {
  register(
    'events of $all',
    eventSourceConformance({
      make: async (): Promise<EventSourceFixture<EsdbPosition, EsdbEvent>> => {
        return {
          ...(await fixture(esdb.own('orders'), '$all')),
          open: () => esdbEvents({ client: esdb.client }),
          samplePositions: [
            { commit: 0n, prepare: 0n },
            { commit: 100n, prepare: 90n },
            { commit: 100n, prepare: 100n },
            { commit: 2n ** 53n, prepare: 2n ** 53n },
            { commit: 2n ** 53n + 1n, prepare: 2n ** 53n },
            { commit: 2n ** 63n - 1n, prepare: 2n ** 63n - 1n },
          ],
        }
      },
      capabilities: ['type_filter', 'append_times', 'wake_ups', 'stalls', 'rewinds'],
    }),
  )
})

register(
  'checkpoints in streams',
  checkpointStoreConformance({
    make: async () => {
      await reconnected()
      return {
        open: () => withOwnNames(esdbCheckpoints({ client: esdb.client })),
        stall: async () => {
          for (const stream of ['tidemark-checkpoints', `tidemark-checkpoint-${esdb.own('all')}`]) {
            await esdb.server.stall({ kind: 'read', stream })
          }
          return () => esdb.server.resume()
        },
      }
    },
    capabilities: isSimulated ? ['stalls'] : [],
  }),
)

/** Others may have projections with these names, and the case before had them. */
function withOwnNames(store: CheckpointStore<undefined>): CheckpointStore<undefined> {
  const { own } = esdb
  const isTransient = store.isTransient.bind(store)
  const asTheirs = (stored: StoredUnit | undefined): StoredUnit | undefined => {
    const unit = stored && withName(stored.unit, theirs)
    const isOwn = unit !== undefined && own(unit.projection) === stored?.unit.projection
    return isOwn ? { ...stored, unit, source: theirs(stored.source) } : undefined
  }
  return {
    name: store.name,
    open: (unit, first, signal) =>
      store.open(withName(unit, own), { ...first, source: own(first.source) }, signal),
    read: async (unit, signal) => asTheirs(await store.read(withName(unit, own), signal)),
    list: async ({ source, projection }, signal) => {
      const filter = {
        ...(source === undefined ? {} : { source: own(source) }),
        ...(projection === undefined ? {} : { projection: own(projection) }),
      }
      const listed = await store.list(filter, signal)
      return listed.flatMap((stored) => asTheirs(stored) ?? [])
    },
    advance: (request, work) =>
      store.advance({ ...request, unit: withName(request.unit, own), source: own(request.source) }, work),
    progress: async (source, signal) => {
      const stored = await store.progress(own(source), signal)
      return stored.map(({ unit, ...rest }) => ({ ...rest, unit: unit && withName(unit, theirs) }))
    },
    sharesLogWith: (incarnation, signal) => store.sharesLogWith(incarnation, signal),
    isTransient,
  }
}

function theirs(name: string): string {
  return name.replace(/-test[^-]+-[0-9]+$/, '')
}

function withName(unit: Unit, rename: (name: string) => string): Unit {
  return { ...unit, projection: rename(unit.projection) }
}
