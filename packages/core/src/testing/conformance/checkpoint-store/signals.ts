import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { StoreCapability } from '../../../ports/capabilities.ts'
import type { CheckpointStore } from '../../../ports/checkpoint-store.ts'
import { expectEqual, rejectionOf, within } from '../expectations.ts'
import { needed } from '../suite.ts'
import { controlOf, pausing } from './control.ts'
import { FAILURE, failuresOf } from './failures.ts'
import {
  ALL,
  type CheckpointStoreRule,
  deadLettersOf,
  EVIDENCE,
  expectPosition,
  FIRST,
  lateEventsOf,
  lostEventsOf,
  move,
  never,
  noWork,
  owner,
  owners,
  SOURCE,
  settledOf,
  skipsOf,
} from './fixture.ts'

/** Long enough for a call to be under way; that it is does not matter to what must follow. */
const UNDER_WAY_MS = 50
const RUN = { stored: '4', current: '7', count: 2n }

type Call = <Tx>(store: CheckpointStore<Tx>, signal: AbortSignal) => Promise<unknown>

type Method = keyof Pick<
  CheckpointStore<unknown>,
  'prepare' | 'open' | 'read' | 'list' | 'progress' | 'progressOf' | 'sharesLogWith'
>

/** Every method that asks the store, but `advance`, whose signal has cases of its own. */
const CALLS: Readonly<Record<Method, Call>> = {
  prepare: async (store, signal) => await store.prepare?.(signal),
  open: (store, signal) => store.open(ALL, FIRST, signal),
  read: (store, signal) => store.read(ALL, signal),
  list: (store, signal) => store.list({ source: SOURCE }, signal),
  progress: (store, signal) => store.progress(SOURCE, signal),
  progressOf: async (store, signal) => await store.progressOf?.(ALL.projection, undefined, signal),
  sharesLogWith: (store, signal) => store.sharesLogWith(EVIDENCE.incarnation, signal),
}
const saveSettled: Call = (store, signal) => settledOf(store).save(SOURCE, EVIDENCE, signal)
const recordSkips: Call = (store, signal) => skipsOf(store).record(SOURCE, [RUN], signal)

const units: Call = (store, signal) => controlOf(store).units({}, signal)
const change: Call = (store, signal) => controlOf(store).change(ALL, pausing, { timeoutMs: 10_000, signal })
const audit: Call = (store, signal) => controlOf(store).audit({ limit: 1 }, signal)
const LETTER_CALLS: Readonly<Record<string, Call>> = {
  'deadLetters.list': (store, signal) => deadLettersOf(store).list({}, { limit: 1 }, signal),
  'deadLetters.openIds': (store, signal) => deadLettersOf(store).openIds({}, { limit: 1 }, signal),
  'deadLetters.find': (store, signal) => deadLettersOf(store).find('1', signal),
  'deadLetters.close': (store, signal) =>
    deadLettersOf(store).close(['1'], { as: 'resolved', why: 'mended', who: 'Ada' }, signal),
  'deadLetters.counts': (store, signal) => deadLettersOf(store).counts(signal),
}
const RANGE = { source: SOURCE, projections: undefined, from: '1', to: '9' }
const LATE_CALLS: Readonly<Record<string, Call>> = {
  'skips.list': (store, signal) => skipsOf(store).list({}, 1, signal),
  'lateEvents.watched': (store, signal) =>
    lateEventsOf(store).watched(SOURCE, { windowMs: 1_000, after: undefined, limit: 1 }, signal),
  'lateEvents.record': (store, signal) =>
    lateEventsOf(store).record(SOURCE, 'without_proof', [{ position: '5', type: undefined }], signal),
  'lateEvents.open': (store, signal) =>
    lateEventsOf(store).open(SOURCE, [{ unit: ALL, eventTypes: ['a'] }], { withinMs: 1_000 }, signal),
  'lateEvents.counts': (store, signal) => lateEventsOf(store).counts(SOURCE, signal),
  'lateEvents.due': (store, signal) =>
    lateEventsOf(store).due(ALL, SOURCE, { isAsked: true, limit: 1 }, signal),
  'lateEvents.failed': (store, signal) => lateEventsOf(store).failed(ALL, SOURCE, ['5'], 'no', signal),
  'lateEvents.ask': (store, signal) => lateEventsOf(store).ask(RANGE, { who: 'Ada', why: 'no' }, signal),
  'lateEvents.discard': (store, signal) =>
    lateEventsOf(store).discard(RANGE, { who: 'Ada', why: 'no' }, signal),
  'lateEvents.list': (store, signal) => lateEventsOf(store).list({ state: 'open' }, 1, signal),
}

const LOST_CALLS: Readonly<Record<string, Call>> = {
  'lostEvents.record': (store, signal) => lostEventsOf(store).record(SOURCE, [], signal),
  'lostEvents.claim': (store, signal) =>
    lostEventsOf(store).claim(SOURCE, { claimMs: 1_000, limit: 1 }, signal),
  'lostEvents.told': (store, signal) => lostEventsOf(store).told(SOURCE, [], signal),
  'lostEvents.totals': (store, signal) => lostEventsOf(store).totals(SOURCE, signal),
  'lostEvents.list': (store, signal) => lostEventsOf(store).list(SOURCE, 1, signal),
  'lostEvents.keepPassed': (store, signal) =>
    lostEventsOf(store).keepPassed(
      SOURCE,
      'orders',
      { incarnation: 'one', eventTypes: 'all', runs: [] },
      signal,
    ),
  'lostEvents.passed': (store, signal) => lostEventsOf(store).passed(SOURCE, 'orders', signal),
}

const FAILURE_CALLS: Readonly<Record<string, Call>> = {
  'failures.tell': (store, signal) => failuresOf(store).tell(FAILURE, signal),
  'failures.over': (store, signal) => failuresOf(store).over(ALL, FAILURE.node, signal),
  'failures.list': (store, signal) => failuresOf(store).list({}, signal),
}

/** The signals of all methods but `advance`. */
export const SIGNAL_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'opening or reading a checkpoint, listing them, or the progress, rejects when its signal has fired',
    check: async (fixture) => {
      const store = await owner(fixture)
      for (const method of ['open', 'read', 'list', 'progress', 'progressOf'] as const) {
        if (store[method] === undefined) continue
        const call = CALLS[method](store, AbortSignal.abort(new Error('stopped before it began')))
        await rejectionOf(call, `${method} with a fired signal`)
      }
    },
  },
  {
    name: 'a settled position whose signal has fired is not stored',
    needs: 'remembers_settled',
    check: async (fixture) => {
      const store = await owner(fixture)
      const saving = saveSettled(store, AbortSignal.abort(new Error('stopped before it began')))
      await rejectionOf(saving, 'settled.save with a fired signal')
      expectEqual(await store.progress(SOURCE, never()), [], 'what is stored of the source')
    },
  },
  {
    name: 'skips whose signal has fired are not recorded',
    needs: 'counts_skips',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const recording = recordSkips(store, AbortSignal.abort(new Error('stopped before it began')))
      await rejectionOf(recording, 'skips.record with a fired signal')
      const { crossed } = await store.advance(move(undefined, '9'), noWork)
      expectEqual(crossed, [], 'the runs that an advance has crossed')
    },
  },
  {
    name: 'what operators ask is not done when its signal has fired',
    needs: 'follows_operators',
    check: async (fixture) => {
      const [store] = await owners(fixture)
      for (const call of [units, change, audit]) {
        const asked = call(store, AbortSignal.abort(new Error('stopped before it began')))
        await rejectionOf(asked, 'a call with a fired signal')
      }
      await store.advance(move(undefined, '3'), noWork)
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
  const has = (capability: StoreCapability): boolean => capabilities.includes(capability)
  return [
    ...Object.entries(CALLS),
    ...(has('remembers_settled') ? [['settled.save', saveSettled] as const] : []),
    ...(has('counts_skips') ? [['skips.record', recordSkips] as const] : []),
    ...(has('follows_operators')
      ? ([
          ['control.units', units],
          ['control.audit', audit],
          ['control.change', change],
        ] as const)
      : []),
    ...(has('keeps_dead_letters') ? Object.entries(LETTER_CALLS) : []),
    ...(has('keeps_late_events') ? Object.entries(LATE_CALLS) : []),
    ...(has('keeps_lost_events') ? Object.entries(LOST_CALLS) : []),
    ...(has('keeps_failures') ? Object.entries(FAILURE_CALLS) : []),
  ]
}
