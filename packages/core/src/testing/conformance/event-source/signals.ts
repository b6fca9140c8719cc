import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { EventSource } from '../../../ports/event-source.ts'
import { expectEqual, expectThat, rejectionOf, until, within } from '../expectations.ts'
import { needed } from '../suite.ts'
import { expectMistakesCount, expectTotal } from '../transience.ts'
import { type EventSourceRule, newEvents } from './fixture.ts'
import { Reader } from './reader.ts'

/** Long enough for a call to be under way; that it is does not matter to what must follow. */
const UNDER_WAY_MS = 50
const APPEND_EVERY_MS = 50

/** `signal`, `wakeUps`, `isTransient`. */
export const SIGNAL_RULES: readonly EventSourceRule[] = [
  {
    name: 'opening a source, or a poll, whose signal has fired rejects',
    check: async (store) => {
      await store.append(newEvents('e', 1))
      const reader = new Reader(store)
      const none = async () => []
      const { source } = reader
      await rejectionOf(source.open({ signal: fired() }), 'opening a source with a fired signal')
      const opened = await source.open({ signal: new AbortController().signal })
      const first = { previous: undefined, opened, stored: [], sharesLog: false, signal: fired() }
      await rejectionOf(source.readHighWater(first), 'a first poll with a fired signal')
      const before = await reader.poll()
      await store.append(newEvents('f', 1))
      await rejectionOf(reader.pollFrom(before, none, fired()), 'a later poll with a fired signal')
    },
  },
  {
    name: 'a page whose signal has fired rejects',
    check: async (store) => {
      await store.append(newEvents('e', 1))
      const reader = new Reader(store)
      const reading = await reader.poll()
      await rejectionOf(reader.page(reading, { signal: fired() }), 'a page with a fired signal')
    },
  },
  {
    name: 'polls and pages leave nothing behind on a signal that outlives them',
    check: async (store) => {
      await store.append(newEvents('e', 2))
      const reader = new Reader(store)
      const { signal } = new AbortController()
      let reading = await reader.pollFrom(undefined, async () => [], signal)
      for (let round = 1; round <= 3; round++) {
        reading = await reader.pollFrom(reading, async () => [], signal)
        await reader.page(reading, { signal })
      }
      expectEqual(getEventListeners(signal, 'abort').length, 0, 'how many listeners are left on the signal')
    },
  },
  {
    name: 'a poll that waits for a store that does not answer rejects when its signal fires',
    needs: 'stalls',
    check: async (store) => {
      await store.append(newEvents('e', 1))
      const reader = new Reader(store)
      const before = await reader.poll()
      const goOn = await needed(store.stall, 'stall', 'stalls')()
      try {
        const stop = new AbortController()
        await rejectionOf(
          abortedUnderWay(
            reader.pollFrom(undefined, async () => [], stop.signal),
            stop,
          ),
          'a poll of a store that does not answer, its signal fired',
        )
        const stopLater = new AbortController()
        await rejectionOf(
          abortedUnderWay(
            reader.pollFrom(before, async () => [], stopLater.signal),
            stopLater,
          ),
          'a later poll of a store that does not answer, its signal fired',
        )
      } finally {
        await goOn()
      }
      await reader.poll()
    },
  },
  {
    name: 'a page that waits for a store that does not answer rejects when its signal fires',
    needs: 'stalls',
    check: async (store) => {
      await store.append(newEvents('e', 1))
      const reader = new Reader(store)
      const reading = await reader.poll()
      const goOn = await needed(store.stall, 'stall', 'stalls')()
      try {
        const stop = new AbortController()
        await rejectionOf(
          abortedUnderWay(reader.page(reading, { signal: stop.signal }), stop),
          'a page of a store that does not answer, its signal fired',
        )
      } finally {
        await goOn()
      }
      expectEqual(
        (await reader.page(reading, {})).ids,
        ['e1'],
        'the same page, of the store that answers again',
      )
    },
  },
  {
    name: 'an append wakes up those who listen, again and again',
    needs: 'wake_ups',
    check: async (store) => {
      const stop = new AbortController()
      const iterator = listen(store.open(), stop.signal)
      try {
        for (let round = 1; round <= 2; round++) {
          let woken = false
          const next = iterator.next().then(({ done }) => {
            expectThat(done !== true, 'the wake-ups go on until their signal fires')
            woken = true
          })
          // Nobody says when listening has begun, so appends go on until one is heard.
          let appended = 0
          await Promise.all([
            within(next, 'a wake-up after an append'),
            until(
              async () => {
                await store.append(newEvents(`e${round}-${++appended}-`, 1))
                await delay(APPEND_EVERY_MS)
                return woken
              },
              (isWoken) => isWoken,
              'an append is heard',
            ),
          ])
        }
      } finally {
        stop.abort()
      }
    },
  },
  {
    name: 'wake-ups end with their signal, though nothing is appended any more',
    needs: 'wake_ups',
    check: async (store) => {
      const stop = new AbortController()
      const source = store.open()
      const ended = untilEnded(source, stop.signal)
      await delay(UNDER_WAY_MS)
      stop.abort()
      await within(ended, 'the end of the wake-ups whose signal has fired')
      await within(untilEnded(source, fired()), 'the end of wake-ups whose signal had fired before')
    },
  },
  {
    name: 'isTransient answers for any value, and never throws',
    check: (store) => expectTotal(store.open()),
  },
  {
    name: 'isTransient does not take the mistake of a handler for a passing fault',
    check: (store) => expectMistakesCount(store.open()),
  },
]

function fired(): AbortSignal {
  return AbortSignal.abort(new Error('stopped before it began'))
}

async function abortedUnderWay<T>(call: Promise<T>, stop: AbortController): Promise<T> {
  // It may reject before anybody looks.
  call.catch(() => {})
  await delay(UNDER_WAY_MS)
  stop.abort(new Error('stopped under way'))
  return await call
}

function listen(
  source: Pick<EventSource<unknown, unknown>, 'wakeUps'>,
  signal: AbortSignal,
): AsyncIterator<unknown> {
  const wakeUps = source.wakeUps?.(signal)
  if (wakeUps === undefined)
    throw new TypeError("the capability 'wake_ups' needs the source to have wakeUps()")
  return wakeUps[Symbol.asyncIterator]()
}

/** That it ends counts; an agent that is stopped does not look at how. */
async function untilEnded(
  source: Pick<EventSource<unknown, unknown>, 'wakeUps'>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = listen(source, signal)
  try {
    while ((await iterator.next()).done !== true);
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
