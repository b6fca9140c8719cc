import { setImmediate as turn } from 'node:timers/promises'
import { createDaemon, type Daemon } from '../../../daemon/daemon.ts'
import type { Projection } from '../../../projection/projection.ts'
import { inMemoryCheckpoints } from '../../in-memory-checkpoints.ts'
import { expectEqual, patienceMs, until } from '../expectations.ts'
import { needed } from '../suite.ts'
import {
  type ConformanceEvent,
  type EventSourceFixture,
  type EventSourceRule,
  idsOf,
  newEvents,
} from './fixture.ts'
import { Reader } from './reader.ts'

const WRITERS = 4
const APPENDS_EACH = 12

/** Everything together: a daemon over the source, while events are appended. */
export const AGREEMENT_RULES: readonly EventSourceRule[] = [
  {
    name: 'a daemon projects what several writers append at the same time once and in order, also across a restart',
    check: async (store) => {
      await expectAgreement(store, () => Promise.all(writers(store.append)))
    },
  },
  {
    name: 'a daemon projects what transactions commit out of order once and in order, and nothing that they roll back',
    needs: 'open_transactions',
    check: async (store) => {
      const begin = needed(store.begin, 'begin', 'open_transactions')
      await expectAgreement(store, async (daemon) => {
        await Promise.all(
          writers(async (events) => {
            const transaction = await begin()
            for (const event of events) await transaction.append(event)
            await transaction.commit()
          }),
        )
        const slow = await begin()
        const doomed = await begin()
        await slow.append({ id: 'slow1', type: 'Happened' })
        await doomed.append({ id: 'never', type: 'Happened' })
        await store.append(newEvents('between', 3))
        await polledAgain(daemon)
        await slow.append({ id: 'slow2', type: 'Happened' })
        await doomed.rollback()
        await store.append(newEvents('above', 3))
        await polledAgain(daemon)
        await slow.commit()
      })
    },
  },
  {
    name: 'a projection of some types gets all of theirs and nothing else, and is up to date when there are none',
    needs: 'type_filter',
    check: async (store) => {
      const paid: string[] = []
      const daemon = createDaemon({
        source: store.open(),
        checkpoints: inMemoryCheckpoints(),
        projections: [{ ...collecting(store, 'paid', paid, 3), eventTypes: ['Paid', 'Refunded'] }],
      })
      try {
        await daemon.start()
        await store.append(newEvents('quiet', 8, 'Happened'))
        await daemon.waitUntilProjected({ timeoutMs: patienceMs() })
        await store.append(
          ['Paid', 'Happened', 'Refunded', 'PaidTwice', 'Paid'].map((type, n) => ({ id: `e${n}`, type })),
        )
        await store.append(newEvents('quieter', 8, 'Happened'))
        await daemon.waitUntilProjected({ timeoutMs: patienceMs() })
      } finally {
        await daemon.stop()
      }
      expectEqual(paid, ['e0', 'e2', 'e4'], 'the events that the projection got')
    },
  },
]

function writers(append: (events: readonly ConformanceEvent[]) => Promise<void>): Promise<void>[] {
  return Array.from({ length: WRITERS }, async (_, writer) => {
    for (let n = 0; n < APPENDS_EACH; n++) {
      await append(newEvents(`w${writer}-${n}-`, 1 + ((writer + n) % 3)))
      await turn()
    }
  })
}

/** Time for a daemon to see what is there, and to do what it should not. */
async function polledAgain<P>(daemon: Daemon<P>): Promise<void> {
  for (let polls = 0; polls < 3; polls++) {
    const before = daemon.status().highWater.lastPollAtMs
    daemon.wake()
    await until(
      async () => daemon.status().highWater.lastPollAtMs,
      (atMs) => atMs !== before,
      'the daemon polls',
    )
  }
}

/** Two projections of different page sizes, stopped and started anew in the middle, get what a reader finds in the end. */
async function expectAgreement<P, E>(
  store: EventSourceFixture<P, E>,
  write: (daemon: Daemon<P>) => Promise<unknown>,
): Promise<void> {
  const checkpoints = inMemoryCheckpoints()
  const one: string[] = []
  const many: string[] = []
  const runDaemon = async (during: (daemon: Daemon<P>) => Promise<unknown>): Promise<void> => {
    const daemon = createDaemon({
      source: store.open(),
      checkpoints,
      projections: [collecting(store, 'small pages', one, 2), collecting(store, 'large pages', many, 100)],
      pollIntervalMs: 20,
    })
    try {
      await daemon.start()
      await during(daemon)
      await daemon.waitUntilProjected({ timeoutMs: patienceMs() })
    } finally {
      await daemon.stop()
    }
  }
  await runDaemon(async () => await store.append(newEvents('before', 5)))
  await store.append(newEvents('meanwhile', 5))
  await runDaemon(write)

  const reader = new Reader(store)
  const { ids } = await reader.pages(await reader.caughtUp())
  expectEqual(
    ids.slice(0, 10),
    [...idsOf(newEvents('before', 5)), ...idsOf(newEvents('meanwhile', 5))],
    'the first events',
  )
  expectEqual(new Set(ids).size, ids.length, 'how many different events there are among those that are read')
  expectEqual(one, ids, 'what the projection with small pages got, by what a reader finds in the end')
  expectEqual(many, ids, 'what the projection with large pages got, by what a reader finds in the end')
}

function collecting<P, E>(
  store: EventSourceFixture<P, E>,
  name: string,
  into: string[],
  batchSize: number,
): Projection<E, undefined> {
  return {
    name,
    batchSize,
    handle: (events) => {
      into.push(...events.map(store.idOf))
    },
  }
}
