import { isReached } from '../../../ports/position.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { codeOf, expectCode, expectEqual, expectThat, rejectionOf } from '../expectations.ts'
import { needed } from '../suite.ts'
import { type EventSourceRule, idsOf, newEvents } from './fixture.ts'
import { checkpointAt } from './polls.ts'
import { Reader } from './reader.ts'

const CHANGED = 'TIDEMARK_INCARNATION_CHANGED'
const REWOUND = 'TIDEMARK_STORE_REWOUND'

/** Stores that lose events, become another store, or go back. */
export const CHANGE_RULES: readonly EventSourceRule[] = [
  {
    name: 'where old events are deleted the mark stays, and what is left is read',
    needs: 'deletes',
    check: async (store) => {
      const deleteOldest = needed(store.deleteOldest, 'deleteOldest', 'deletes')
      await store.append(newEvents('e', 4))
      const reader = new Reader(store)
      const before = await reader.poll()
      await deleteOldest(2)
      expectEqual((await reader.pages(await reader.caughtUp())).ids, ['e3', 'e4'], 'the events that are left')
      await deleteOldest(2)
      // The reader finds a mark that goes back.
      const emptied = await reader.poll()
      expectEqual(reader.text(emptied.mark), reader.text(before.mark), 'the mark, its own event deleted')
      expectEqual((await reader.page(emptied, {})).ids, [], 'the events of an emptied store')
      await store.append(newEvents('f', 1))
      const { ids } = await reader.pages(await reader.caughtUp(), { after: before.mark })
      expectEqual(ids, ['f1'], 'the events above the former mark')
    },
  },
  {
    name: 'a process that starts anew reads on from a checkpoint whose events were deleted',
    needs: 'deletes',
    check: async (store) => {
      const deleteOldest = needed(store.deleteOldest, 'deleteOldest', 'deletes')
      await store.append(newEvents('e', 4))
      const left = await new Reader(store).caughtUp()
      await deleteOldest(4)
      await store.append(newEvents('f', 2))
      const reader = new Reader(store)
      const reading = await reader.caughtUp(async () => [checkpointAt(left)])
      expectEqual(
        (await reader.pages(reading, { after: left.mark })).ids,
        idsOf(newEvents('f', 2)),
        'the new events',
      )
    },
  },
  {
    name: 'a page is refused when the store is no longer the one that its poll has seen',
    needs: 'incarnations',
    check: async (store) => {
      await store.append(newEvents('e', 2))
      const reader = new Reader(store)
      const reading = await reader.poll()
      const stale = { ...reading, incarnation: `another ${reading.incarnation}` }
      await expectCode(reader.page(stale, {}), CHANGED, 'a page whose evidence is of another incarnation')
      expectEqual((await reader.page(reading, {})).ids, ['e1', 'e2'], 'the page of this incarnation')
    },
  },
  {
    name: 'a poll is refused when the store is no longer the one that the last poll has seen',
    needs: 'incarnations',
    check: async (store) => {
      await store.append(newEvents('e', 2))
      const reader = new Reader(store)
      const reading = await reader.poll()
      const stale = { ...reading, incarnation: `another ${reading.incarnation}` }
      await expectCode(reader.pollFrom(stale), CHANGED, 'a poll that goes on from another incarnation')
      await reader.poll()
    },
  },
  {
    name: 'a stored checkpoint beyond the head is refused: the store went back, or is another one',
    needs: 'rewinds',
    check: async (store) => {
      await store.append(newEvents('e', 2))
      const reader = new Reader(store)
      const { incarnation } = await reader.poll()
      const position = store.samplePositions.at(-1)
      const stored = {
        unit: wholeUnit('all'),
        position,
        incarnation,
        settled: undefined,
        logPosition: undefined,
      }
      const polling = new Reader(store).poll(async () => [stored])
      await expectCode(polling, REWOUND, 'a first poll with a checkpoint that the store has not reached')
    },
  },
  {
    name: 'a store that went back under a running process is refused, and does not pass for an idle one',
    needs: 'rewinds',
    check: async (store) => {
      const rewind = needed(store.rewind, 'rewind', 'rewinds')
      await store.append(newEvents('e', 3))
      const reader = new Reader(store)
      const before = await reader.poll()
      await rewind()
      const stored = async () => [checkpointAt(before)]
      let error = await rejectionOf(reader.poll(stored), 'a poll of a store that went back')
      // Noticed as another incarnation first, the store is polled anew, with what is stored.
      if (codeOf(error) === CHANGED) {
        error = await rejectionOf(
          reader.pollFrom(undefined, stored),
          'a new first poll of a store that went back',
        )
      }
      expectEqual(codeOf(error), REWOUND, 'the code of the error')
    },
  },
  {
    name: 'a checkpoint at the head is no sign of a store that went back',
    needs: 'rewinds',
    check: async (store) => {
      await store.append(newEvents('e', 2))
      const left = await new Reader(store).caughtUp()
      const reader = new Reader(store)
      const reading = await reader.poll(async () => [checkpointAt(left)])
      expectThat(isReached(reader.order, left.mark, reading.mark), 'the mark is no lower than the checkpoint')
    },
  },
]
