import { setTimeout as delay } from 'node:timers/promises'
import type { KeptLoss, PassedPositions } from '../../../ports/lost-events.ts'
import { expectEqual } from '../expectations.ts'
import { type CheckpointStoreRule, lostEventsOf, never, owner, SOURCE } from './fixture.ts'

const NEEDS = 'keeps_lost_events'
const HOLDER = { transaction: '7/1', pid: 9, applicationName: `it's`, startedAt: new Date(5_000) }
const LOSS: KeptLoss = {
  consumer: `places.it's "one"`,
  incarnation: 'a run of a store',
  position: '5',
  verdict: 'lost',
  type: `Order"Placed'`,
  passedAt: '7:12',
  missingAtMs: 1_000,
  visibleAtMs: 1_020,
  heldBy: [HOLDER],
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
}
const BARE: KeptLoss = {
  ...LOSS,
  position: '6',
  verdict: 'passed',
  type: undefined,
  heldBy: [{ transaction: '7/2', pid: undefined, applicationName: undefined, startedAt: undefined }],
  traceparent: undefined,
}
/** Each is another event. */
const OTHERS: readonly KeptLoss[] = [
  { ...LOSS, consumer: 'places.another' },
  { ...LOSS, incarnation: 'another run' },
  { ...LOSS, position: '50' },
]

const PASSED: PassedPositions = {
  incarnation: 'a run of a store',
  eventTypes: [`Order"Placed'`, 'all'],
  runs: [
    { from: '5', to: '5' },
    { from: '9223372036854775806', to: '9223372036854775807' },
  ],
}

/** `lostEvents`. */
export const LOST_EVENT_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a lost event is recorded once, whoever finds it, and kept with all that is known of it',
    needs: NEEDS,
    check: async (fixture) => {
      const [first, second] = [await owner(fixture), await owner(fixture)].map(lostEventsOf)
      if (first === undefined || second === undefined) return
      expectEqual(await first.record(SOURCE, [LOSS], never()), [LOSS], 'what the first has recorded')
      expectEqual(await second.record(SOURCE, [LOSS, BARE], never()), [BARE], 'what the second has recorded')
      expectEqual(await first.list(SOURCE, 10, never()), [BARE, LOSS], 'what is kept')
      expectEqual(await first.list(SOURCE, 1, never()), [BARE], 'the newest')
    },
  },
  {
    name: 'the same number of another consumer, run of the store or source is another event, and is counted',
    needs: NEEDS,
    check: async (fixture) => {
      const lost = lostEventsOf(await owner(fixture))
      await lost.record(SOURCE, [LOSS, BARE], never())
      const recorded = await lost.record(SOURCE, [LOSS, ...OTHERS], never())
      expectEqual(new Set(recorded), new Set(OTHERS), 'what was recorded')
      expectEqual(await lost.record('other events', [LOSS], never()), [LOSS], 'what was recorded elsewhere')
      const totals = await lost.totals(SOURCE, never())
      expectEqual(
        totals.map(({ consumer, verdict, events }) => [consumer, verdict, events].join()).toSorted(),
        [`${LOSS.consumer},lost,3`, `${LOSS.consumer},passed,1`, 'places.another,lost,1'].toSorted(),
        'the totals',
      )
    },
  },
  {
    name: 'what nobody has told is claimed by one other after a time, and what was told never again',
    needs: NEEDS,
    check: async (fixture) => {
      const [first, second] = [await owner(fixture), await owner(fixture)].map(lostEventsOf)
      if (first === undefined || second === undefined) return
      await first.record(SOURCE, [LOSS, BARE], never())
      await first.told(SOURCE, [BARE], never())
      const due = (claimMs: number) => ({ claimMs, limit: 10 })
      expectEqual(await second.claim(SOURCE, due(60_000), never()), [], 'what is claimed at once')
      await delay(30)
      expectEqual(
        await second.claim('other events', due(10), never()),
        [],
        'what is claimed of another source',
      )
      expectEqual(await second.claim(SOURCE, due(10), never()), [LOSS], 'what is claimed after a time')
      expectEqual(await first.claim(SOURCE, due(60_000), never()), [], 'what is claimed from a claimant')
      await second.told(SOURCE, [LOSS], never())
      await delay(30)
      expectEqual(await first.claim(SOURCE, due(10), never()), [], 'what is claimed in the end')
    },
  },
  {
    name: 'what the handler of a consumer has passed is kept as it was said last, for each source and consumer',
    needs: NEEDS,
    check: async (fixture) => {
      const [first, second] = [await owner(fixture), await owner(fixture)].map(lostEventsOf)
      if (first === undefined || second === undefined) return
      const { consumer } = LOSS
      expectEqual(await first.passed(SOURCE, consumer, never()), undefined, 'what is kept at first')
      await first.keepPassed(SOURCE, consumer, PASSED, never())
      await first.keepPassed('other events', consumer, PASSED, never())
      await first.keepPassed(SOURCE, 'another', PASSED, never())
      expectEqual(await second.passed(SOURCE, consumer, never()), PASSED, 'what is kept')
      for (const eventTypes of ['all', undefined] as const) {
        const later: PassedPositions = { incarnation: 'another run', eventTypes, runs: [] }
        await second.keepPassed(SOURCE, consumer, later, never())
        expectEqual(await first.passed(SOURCE, consumer, never()), later, 'what is kept later')
      }
      expectEqual(
        await first.passed('other events', consumer, never()),
        PASSED,
        'what is kept of another source',
      )
      expectEqual(await first.passed(SOURCE, 'another', never()), PASSED, 'what is kept of another consumer')
    },
  },
]
