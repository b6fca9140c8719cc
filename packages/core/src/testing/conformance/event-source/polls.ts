import type { HighWaterReading, StoredProgress } from '../../../ports/event-source.ts'
import { wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, expectThat } from '../expectations.ts'
import { type EventSourceRule, idsOf, newEvents } from './fixture.ts'
import { Reader } from './reader.ts'

/** `EventSource.name` and the like, and `readHighWater` while nothing is open. */
export const POLL_RULES: readonly EventSourceRule[] = [
  {
    name: 'a source has a name, and every process the same one for the same store',
    check: async (store) => {
      const { name } = store.open()
      expectThat(typeof name === 'string' && name.trim() !== '', 'a name is a text', name)
      expectEqual(store.open().name, name, 'the name that another process has for the store')
    },
  },
  {
    name: 'a source can filter, wake up and measure distances where its capabilities say so, and nowhere else',
    check: async (store, capabilities) => {
      const { filtersByType, order, wakeUps } = store.open()
      expectEqual(
        {
          type_filter: filtersByType,
          dense_positions: order.distance !== undefined,
          wake_ups: wakeUps !== undefined,
        },
        {
          type_filter: capabilities.includes('type_filter'),
          dense_positions: capabilities.includes('dense_positions'),
          wake_ups: capabilities.includes('wake_ups'),
        },
        'what the source has (filtersByType, order.distance, wakeUps), by the names of the capabilities',
      )
    },
  },
  {
    name: 'an empty store has no mark, and is settled up to its head',
    check: async (store) => {
      const reader = new Reader(store)
      for (const poll of ['first', 'second']) {
        const { mark, head, settled } = await reader.poll()
        expectEqual(reader.text(mark), undefined, `the mark of the ${poll} poll`)
        expectEqual(reader.text(settled), reader.text(head), `settled of the ${poll} poll`)
      }
    },
  },
  {
    name: 'the mark comes to stand at the last visible event, whose position it is',
    check: async (store) => {
      const events = newEvents('e', 3)
      await store.append(events)
      const reader = new Reader(store)
      await expectMarkAtLast(reader, idsOf(events))
    },
  },
  {
    name: 'a later poll sees what was appended since, and the mark moves up to it',
    check: async (store) => {
      const reader = new Reader(store)
      await reader.poll()
      const ids: string[] = []
      for (const events of [newEvents('a', 1), newEvents('b', 4), newEvents('c', 1)]) {
        await store.append(events)
        ids.push(...idsOf(events))
        await expectMarkAtLast(reader, ids)
      }
    },
  },
  {
    name: 'while nothing is open settled reaches the head, and nothing is a gap, held or skipped',
    check: async (store) => {
      const reader = new Reader(store)
      await reader.poll()
      await store.append(newEvents('e', 3))
      const reading = await reader.caughtUp()
      const { gaps, holders, skipped, provenEmpty } = reading
      expectEqual(
        {
          gaps: gaps.length,
          holders: holders.length,
          skipped: skipped.length,
          provenEmpty: provenEmpty.length,
        },
        { gaps: 0, holders: 0, skipped: 0, provenEmpty: 0 },
        'how many gaps, holders, skipped and proven-empty runs the reading has',
      )
    },
  },
  {
    name: 'settled and mark never go back, and the incarnation stays the same while the store does',
    check: async (store) => {
      const reader = new Reader(store)
      const incarnations = new Set<string>()
      for (let round = 1; round <= 6; round++) {
        // Every other round is idle. The reader compares each poll with the one before.
        if (round % 2 === 0) await store.append(newEvents(`e${round}-`, round))
        incarnations.add((await reader.poll()).incarnation)
      }
      expectEqual(incarnations.size, 1, 'how many incarnations the polls have named')
    },
  },
  {
    name: 'a poll that was thrown away changes nothing: the next one goes on from an older reading',
    check: async (store) => {
      await store.append(newEvents('a', 2))
      const reader = new Reader(store)
      const before = await reader.poll()
      await store.append(newEvents('b', 2))
      const thrownAway = await reader.pollFrom(before)
      const again = await reader.pollFrom(before)
      expectEqual(
        reader.text(again.mark),
        reader.text(thrownAway.mark),
        'the mark of the same poll, made again',
      )
      await store.append(newEvents('c', 2))
      const { ids } = await reader.pages(await reader.pollFrom(before))
      expectEqual(ids, ['a1', 'a2', 'b1', 'b2', 'c1', 'c2'], 'the events up to the mark of a later poll')
    },
  },
  {
    name: 'two processes over one store see the same mark and the same incarnation',
    check: async (store) => {
      const [one, two] = [new Reader(store), new Reader(store)]
      await one.poll()
      await store.append(newEvents('e', 3))
      const [seen, found] = [await one.poll(), await two.poll()]
      expectEqual(two.text(found.mark), one.text(seen.mark), 'the mark that the other process sees')
      expectEqual(found.incarnation, seen.incarnation, 'the incarnation that the other process sees')
    },
  },
  {
    name: 'opening a source names the incarnation of its first poll',
    check: async (store) => {
      await store.append(newEvents('a', 1))
      const { source } = new Reader(store)
      const opened = await source.open({ signal: new AbortController().signal })
      const { incarnation } = await new Reader(store).poll()
      expectEqual(opened.incarnation, incarnation, 'the incarnation that opening the source names')
    },
  },
  {
    name: 'a process that starts anew takes up what is stored, and reads on from there',
    check: async (store) => {
      await store.append(newEvents('a', 3))
      const before = new Reader(store)
      const left = await before.caughtUp()
      await store.append(newEvents('b', 2))
      const after = new Reader(store)
      const reading = await after.caughtUp(async () => [checkpointAt(left)])
      const { ids } = await after.pages(reading, { after: left.mark })
      expectEqual(ids, idsOf(newEvents('b', 2)), 'the events after the stored checkpoint')
    },
  },
  {
    name: 'a checkpoint that another process moves during the first poll does not pass for a store that went back',
    check: async (store) => {
      await store.append(newEvents('a', 1))
      const other = new Reader(store)
      await other.poll()
      const reader = new Reader(store)
      // Between opening the source and its first poll.
      const reading = await reader.poll(async () => {
        await store.append(newEvents('b', 1))
        return [checkpointAt(await other.poll())]
      })
      const { ids } = await reader.pages(reading)
      expectEqual(
        ids,
        ['a1', 'b1'],
        'the events up to the mark: the store is read again after the stored progress, since that may be newer',
      )
    },
  },
]

/** The mark comes to stand at the last of these events, which are all there is. */
async function expectMarkAtLast<P, E>(reader: Reader<P, E>, ids: readonly string[]): Promise<void> {
  const reading = await reader.caughtUp()
  const found = await reader.pages(reading)
  expectEqual(found.ids, ids, 'the events up to the mark')
  expectEqual(
    reader.text(reading.mark),
    reader.text(found.positions.at(-1)),
    'the mark: the position of the last visible event',
  )
}

/** The checkpoint of a projection that has processed everything up to the mark. */
export function checkpointAt<P>({
  mark,
  incarnation,
  settled,
  logPosition,
}: HighWaterReading<P>): StoredProgress<P> {
  return { unit: wholeUnit('all'), position: mark, incarnation, settled, logPosition }
}
