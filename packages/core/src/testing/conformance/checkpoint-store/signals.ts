import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import { expectEqual, rejectionOf, within } from '../expectations.ts'
import { needed } from '../suite.ts'
import {
  type CheckpointStoreRule,
  EVIDENCE,
  expectPosition,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
} from './fixture.ts'

/** Long enough for a call to be under way; that it is does not matter to what must follow. */
const UNDER_WAY_MS = 50
const RUN = { stored: '4', current: '7', count: 2n }

type Call = <Tx>(store: CheckpointStore<Tx>, signal: AbortSignal) => Promise<unknown>

/** Every method that asks the store, but `advance`, whose signal has cases of its own. */
const CALLS: Readonly<
  Record<
    Exclude<keyof CheckpointStore<unknown>, 'advance' | 'isTransient' | 'recordSkips' | 'toDecide'>,
    Call
  >
> = {
  prepare: async (store, signal) => await store.prepare?.(signal),
  read: (store, signal) => store.read('all', SOURCE, signal),
  progress: (store, signal) => store.progress(SOURCE, signal),
  saveSettled: (store, signal) => store.saveSettled(SOURCE, EVIDENCE, signal),
  sharesLogWith: (store, signal) => store.sharesLogWith(EVIDENCE.incarnation, signal),
}
const recordSkips: Call = (store, signal) => store.recordSkips(SOURCE, [RUN], signal)

/** The signals of all methods but `advance`. */
export const SIGNAL_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'reading a checkpoint, or the progress, rejects when its signal has fired',
    check: async (fixture) => {
      const store = await owner(fixture)
      for (const method of ['read', 'progress'] as const) {
        const call = CALLS[method](store, AbortSignal.abort(new Error('stopped before it began')))
        await rejectionOf(call, `${method} with a fired signal`)
      }
    },
  },
  {
    name: 'a settled position whose signal has fired is not stored',
    needs: 'stores_evidence',
    check: async (fixture) => {
      const store = await owner(fixture)
      const saving = CALLS.saveSettled(store, AbortSignal.abort(new Error('stopped before it began')))
      await rejectionOf(saving, 'saveSettled with a fired signal')
      expectEqual(await store.progress(SOURCE, never()), [], 'what is stored of the source')
    },
  },
  {
    name: 'skips whose signal has fired are not recorded',
    needs: 'counts_skips',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const recording = recordSkips(store, AbortSignal.abort(new Error('stopped before it began')))
      await rejectionOf(recording, 'recordSkips with a fired signal')
      const { crossed } = await store.advance(move(undefined, '9'), noWork)
      expectEqual(crossed, [], 'the runs that an advance has crossed')
    },
  },
  {
    name: 'no call leaves anything behind on a signal that outlives it',
    check: async (fixture, capabilities) => {
      const store = await owner(fixture)
      const { signal } = new AbortController()
      for (const [method, call] of callsOf(capabilities)) {
        await within(call(store, signal), method)
        const left = getEventListeners(signal, 'abort').length
        expectEqual(left, 0, `how many listeners ${method} has left on its signal`)
      }
    },
  },
  {
    name: 'a call that waits for a store that does not answer ends when its signal fires',
    needs: 'stalls',
    check: async (fixture, capabilities) => {
      const stall = needed(fixture.stall, 'stall', 'stalls')
      const [first] = await owners(fixture)
      await first.advance(move(undefined, '3'), noWork)
      for (const [method, call] of callsOf(capabilities)) {
        const store = fixture.open()
        const goOn = await stall()
        try {
          const stop = new AbortController()
          // A method that asks its store nothing may resolve.
          const ended = call(store, stop.signal).catch(() => {})
          await delay(UNDER_WAY_MS)
          stop.abort(new Error('stopped under way'))
          await within(ended, `${method} of a store that does not answer, its signal fired`)
        } finally {
          await goOn()
        }
      }
      await expectPosition(first, '3', 'the checkpoint, of the store that answers again')
    },
  },
]

function callsOf(capabilities: readonly string[]): (readonly [string, Call])[] {
  const skips = capabilities.includes('counts_skips') ? [['recordSkips', recordSkips] as const] : []
  return [...Object.entries(CALLS), ...skips]
}
