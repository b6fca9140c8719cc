import { isReached } from '../../../ports/position.ts'
import { expectEqual, expectThat, until } from '../expectations.ts'
import {
  type ConformanceEvent,
  type EventSourceFixture,
  type EventSourceRule,
  idsOf,
  newEvents,
} from './fixture.ts'
import { Reader } from './reader.ts'

const FAR_BEHIND = 1_500
const HOUR_MS = 3_600_000

/** Types that a filter by prefix, pattern, list or letter case would take for one another. */
const ALIKE = ['Opened', 'OpenedTwice', 'opened', 'Open.d', 'Open%', "O'pened", 'Closed,Opened']

/** `load`. `Reader` checks positions, order, `limit` and `through` of every page. */
export const PAGE_RULES: readonly EventSourceRule[] = [
  {
    name: 'a page holds the events after `after`, up to and including `upTo`, oldest first',
    check: async (store) => {
      const { reader, reading, ids, positions } = await filled(store, newEvents('e', 6))
      for (let from = -1; from < positions.length; from++) {
        for (let to = from + 1; to < positions.length; to++) {
          const page = await reader.page(reading, { after: positions[from], upTo: positions[to] })
          expectEqual(page.ids, ids.slice(from + 1, to + 1), `the events in (${from + 1}, ${to + 1}] of 6`)
        }
      }
    },
  },
  {
    name: 'page by page every event comes once and in order, whatever the size of the pages',
    check: async (store) => {
      const { reader, reading, ids } = await filled(store, newEvents('e', 25))
      for (const limit of [1, 2, 3, 5, 24, 25, 26]) {
        expectEqual((await reader.pages(reading, { limit })).ids, ids, `the events in pages of ${limit}`)
      }
    },
  },
  {
    name: `far behind, with ${FAR_BEHIND} events to read, nothing is left out`,
    check: async (store) => {
      const { reader, reading, ids } = await filled(store, newEvents('e', FAR_BEHIND))
      for (const limit of [1_000, FAR_BEHIND + 1]) {
        const found = (await reader.pages(reading, { limit })).ids
        expectEqual(found.length, ids.length, `how many events came in pages of ${limit}`)
        expectEqual(found, ids, `the events in pages of ${limit}`)
      }
    },
  },
  {
    name: 'an event that is appended after the poll is not on its pages, and not passed by them',
    check: async (store) => {
      const { reader, reading, ids } = await filled(store, newEvents('before', 3))
      await store.append(newEvents('after', 2))
      const page = await reader.page(reading, {})
      expectEqual(page.ids, ids, 'the events up to the mark of the earlier poll')
      const now = await reader.caughtUp()
      const rest = await reader.pages(now, { after: page.through })
      expectEqual(rest.ids, ['after1', 'after2'], 'the events after that page')
    },
  },
  {
    name: 'a page can be asked for again, and by several projections at a time',
    check: async (store) => {
      const { reader, reading, ids, positions } = await filled(store, newEvents('e', 9))
      const starts = [undefined, positions[5], positions[2], undefined]
      const pages = await Promise.all(starts.map((after) => reader.page(reading, { after, limit: 3 })))
      expectEqual(
        pages.map((page) => page.ids),
        [ids.slice(0, 3), ids.slice(6, 9), ids.slice(3, 6), ids.slice(0, 3)],
        'the pages',
      )
    },
  },
  {
    name: 'a filter lets the events of exactly those types pass, in pages of any size',
    needs: 'type_filter',
    check: async (store) => {
      const events = Array.from({ length: 28 }, (_, n) => ({
        id: `e${n}`,
        type: ALIKE[n % ALIKE.length] ?? '',
      }))
      const { reader, reading } = await filled(store, events)
      for (const eventTypes of [...ALIKE.map((type) => [type]), ['opened', 'Open.d'], ALIKE]) {
        const wanted = idsOf(events.filter(({ type }) => eventTypes.includes(type)))
        for (const limit of [1, 3, 100]) {
          const { ids } = await reader.pages(reading, { limit, eventTypes })
          expectEqual(ids, wanted, `the events of ${JSON.stringify(eventTypes)} in pages of ${limit}`)
        }
      }
    },
  },
  {
    name: 'where no event is of the wanted types, empty pages lead up to `upTo`',
    needs: 'type_filter',
    check: async (store) => {
      const { reader, reading } = await filled(store, newEvents('e', 12, 'Happened'))
      // It ends, since each page looks further than the one before.
      const { ids } = await reader.pages(reading, { limit: 2, eventTypes: ['NeverHappened'] })
      expectEqual(ids, [], 'the events of a type that there is none of')
    },
  },
  {
    name: 'a page that has come along with a poll is the one that is read after it, for each who asks for it',
    check: async (store) => {
      const { reader, reading } = await filled(store, newEvents('e', 3))
      const { mark } = reading
      if (mark === undefined) throw new TypeError('there are events')
      // What comes along may be bounded by what a page has shown.
      await reader.pages(reading)
      const wish = { after: mark, eventTypes: undefined }
      await store.append(newEvents('next', 4))
      const moved = await until(
        () => reader.pollAlong([wish, wish]),
        (now) => !isReached(reader.order, now.mark, mark),
        'the mark moves',
      )
      const { ids } = await reader.pages(moved, { after: mark })
      for (let nth = 0; nth < 2; nth++) {
        const page = await reader.page(moved, { after: mark, mayComeAlong: true })
        const rest = await reader.pages(moved, { after: page.through })
        expectEqual([...page.ids, ...rest.ids], ids, 'the events of the page, and those that follow it')
      }
    },
  },
  {
    name: 'a page says the type of each of its events',
    needs: 'type_filter',
    check: async (store) => {
      const events = ALIKE.map((type, n) => ({ id: `e${n}`, type }))
      const { reader, reading } = await filled(store, events)
      expectEqual((await reader.page(reading, {})).types, ALIKE, 'the types of a page')
      const some = await reader.page(reading, { eventTypes: ['opened', 'Open.d'] })
      expectEqual(some.types, ['opened', 'Open.d'], 'the types of a page that a filter has passed')
    },
  },
  {
    name: 'a page says when each of its events was appended, in milliseconds',
    needs: 'append_times',
    check: async (store) => {
      const { reader, reading, ids, positions } = await filled(store, newEvents('e', 4))
      for (const [first, limit] of [
        [0, 4],
        [1, 2],
      ] as const) {
        const page = await reader.page(reading, { after: positions[first - 1], limit })
        expectEqual(page.ids, ids.slice(first, first + limit), 'the events of a page')
        const now = Date.now()
        expectThat(
          page.appendTimesMs?.every((ms) => ms !== undefined && Math.abs(now - ms) < HOUR_MS) ?? false,
          `the page has append times, all within an hour of now (${now})`,
          page.appendTimesMs ?? 'nothing',
        )
      }
    },
  },
]

/** A store with these events, and a reader whose mark is at the last of them. */
async function filled<P, E>(
  store: EventSourceFixture<P, E>,
  events: readonly ConformanceEvent[],
): Promise<{
  readonly reader: Reader<P, E>
  readonly reading: Awaited<ReturnType<Reader<P, E>['poll']>>
  readonly ids: string[]
  readonly positions: readonly P[]
}> {
  await store.append(events)
  const reader = new Reader(store)
  const reading = await reader.caughtUp()
  const { ids, positions } = await reader.pages(reading)
  expectEqual(ids.length, events.length, 'how many events there are up to the mark')
  expectEqual(ids, idsOf(events), 'the events up to the mark')
  return { reader, reading, ids, positions }
}
