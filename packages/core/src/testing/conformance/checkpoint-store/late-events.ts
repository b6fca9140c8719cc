import { setTimeout as delay } from 'node:timers/promises'
import type { LateEvents, LateUnit } from '../../../ports/late-events.ts'
import { slotRanges } from '../../../ports/slot.ts'
import { type Unit, unitName, wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, rejectionOf } from '../expectations.ts'
import { controlOf } from './control.ts'
import {
  ALL,
  type CheckpointStoreRule,
  FIRST,
  lateEventsOf,
  move,
  never,
  noWork,
  owners,
  SOURCE,
  skipsOf,
} from './fixture.ts'

const NEEDS = 'keeps_late_events'
/** 5 and 6, then 9 were passed without proof. */
const RUNS = [
  { stored: '4', current: '7', count: 2n },
  { stored: '8', current: '10', count: 1n },
]
const UNIT: LateUnit = { unit: ALL, eventTypes: undefined }
const LATE = { position: '5', type: "it's" }
const DECISION = { who: 'Ada "L"', why: `it's late` }

/** `skips.list`, `lateEvents`, and `positions` of `advance`. */
export const LATE_EVENT_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a skipped run is listed with who held it and who has passed it, the newest first',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const holder = { transaction: '7/1', pid: 9, applicationName: `it's`, startedAt: new Date(5_000) }
      await skipsOf(store).record(
        SOURCE,
        RUNS.map((run, index) => (index === 0 ? { ...run, heldBy: [holder] } : run)),
        never(),
      )
      await store.advance(move(undefined, '8'), noWork)
      const runs = await skipsOf(other).list({ source: SOURCE }, 10, never())
      expectEqual(
        runs.map(({ from, to, count, passedBy }) => [
          from,
          to,
          count,
          passedBy.map(({ unit }) => unit.projection),
        ]),
        [
          ['9', '9', 1n, []],
          ['5', '6', 2n, ['all']],
        ],
        'the runs, and who has passed each',
      )
      expectEqual(runs.at(-1)?.heldBy, [holder], 'who held the first')
      const within = await skipsOf(other).list({ from: '6', to: '8' }, 10, never())
      expectEqual(
        within.map(({ from }) => from),
        ['5'],
        'the runs between two positions',
      )
      const passed = await skipsOf(other).list({ projection: 'all' }, 10, never())
      expectEqual(passed.length, 1, 'the runs that a projection has passed')
    },
  },
  {
    name: 'runs are looked at again in turns, those of one source, within the window',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      await skipsOf(store).record(SOURCE, RUNS, never())
      await skipsOf(store).record('other events', RUNS, never())
      const late = lateEventsOf(other)
      const page = { windowMs: 60_000, after: undefined, limit: 1 }
      const [first] = await late.watched(SOURCE, page, never())
      expectEqual([first?.from, first?.to], ['5', '6'], 'the first run')
      const [second, ...more] = await late.watched(SOURCE, { ...page, after: first, limit: 5 }, never())
      expectEqual([second?.from, second?.to, more.length], ['9', '9', 0], 'the runs after it')
      await delay(20)
      expectEqual(await late.watched(SOURCE, { ...page, windowMs: 10 }, never()), [], 'after the window')
    },
  },
  {
    name: 'a late event is opened for the shards that there are, whoever has not heard of them yet, if the store replaces shards',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      if (store.control?.reshard === undefined) return
      const [first, second] = slotRanges(2).map((slots) => ({ ...ALL, projection: 'cut', slots }))
      if (first === undefined || second === undefined) return
      for (const unit of [first, second]) {
        await store.open(unit, { ...FIRST, shards: slotRanges(2) }, never())
        await store.advance(move(undefined, '7', { unit }), noWork)
      }
      await lateEventsOf(store).record(SOURCE, 'proven_empty', [LATE], never())
      const open = async (...units: readonly Unit[]) => {
        const known = units.map((unit) => ({ unit, eventTypes: undefined }))
        const opened = await lateEventsOf(other).open(SOURCE, known, { withinMs: undefined }, never())
        return opened.map(({ unit }) => unitName(unit)).toSorted()
      }
      const before = slotRanges(4).map((slots) => ({ ...first, slots }))
      expectEqual(
        await open(...before.slice(0, 2)),
        [unitName(first)],
        'opened by who knows two that were joined',
      )
      expectEqual(await open(wholeUnit('cut')), [unitName(second)], 'opened by who knows one that was cut')
      expectEqual(await open(first, second), [], 'opened by who knows those that there are')
    },
  },
  {
    name: 'a late event is recorded once and opened once, for each unit that has passed it and wants its type',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const behind = { unit: wholeUnit('behind'), eventTypes: undefined }
      const choosy = { unit: wholeUnit('choosy'), eventTypes: ['another'] }
      for (const { unit } of [behind, choosy]) await store.open(unit, FIRST, never())
      await skipsOf(store).record(SOURCE, RUNS, never())
      for (const unit of [ALL, choosy.unit]) await store.advance(move(undefined, '7', { unit }), noWork)
      const recorded = await lateEventsOf(store).record(SOURCE, 'without_proof', [LATE], never())
      expectEqual(
        recorded.map(({ position, type, afterMs }) => [
          position,
          type,
          afterMs !== undefined && afterMs >= 0,
        ]),
        [[LATE.position, LATE.type, true]],
        'what was recorded',
      )
      const again = await lateEventsOf(other).record(SOURCE, 'without_proof', [LATE], never())
      expectEqual(again, [], 'what was recorded by the second')
      const units = [UNIT, behind, choosy]
      const found = { withinMs: undefined }
      const opened = await lateEventsOf(store).open(SOURCE, units, found, never())
      expectEqual(
        opened.map(({ unit, position, type }) => [unit.projection, position, type]),
        [['all', LATE.position, LATE.type]],
        'what was opened',
      )
      expectEqual(await lateEventsOf(other).open(SOURCE, units, found, never()), [], 'opened by the second')
      const [listed] = await lateEventsOf(other).list({ source: SOURCE }, 10, never())
      expectEqual(
        listed?.units.map(({ unit, state }) => [unit.projection, state]),
        [
          ['all', 'open'],
          ['choosy', 'not_wanted'],
        ],
        'what has become of it',
      )
      expectEqual(await dueOf(lateEventsOf(other)), [LATE.position], 'what is due')
    },
  },
  {
    name: 'what a unit was given in its place is not late for it, whoever is first',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const late = lateEventsOf(store)
      await skipsOf(store).record(SOURCE, RUNS, never())
      // Its page ends within the second run.
      await store.advance(move(undefined, '9', { positions: ['4', '5', '9'] }), noWork)
      await late.record(SOURCE, 'without_proof', [LATE, { ...LATE, position: '9' }], never())
      expectEqual(await late.open(SOURCE, [UNIT], { withinMs: undefined }, never()), [], 'what was opened')
      const listed = await late.list({}, 10, never())
      expectEqual(
        listed.map(({ position, units }) => [position, units[0]?.state]),
        [
          ['9', 'in_order'],
          ['5', 'in_order'],
        ],
        'what has become of them',
      )
      await late.record(SOURCE, 'without_proof', [{ ...LATE, position: '6' }], never())
      const opened = await lateEventsOf(other).open(SOURCE, [UNIT], { withinMs: 60_000 }, never())
      expectEqual(
        opened.map(({ position }) => position),
        ['6'],
        'what it was not given',
      )
    },
  },
  {
    name: 'a late event is closed with the advance that handles it, or not at all',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const late = lateEventsOf(store)
      await missed(store)
      const closing = async (tx: Parameters<typeof late.close>[0]): Promise<readonly string[]> =>
        await late.close(tx, ALL, SOURCE, ['5', '6'], 'on_late_event')
      const failing = store.advance(move('7', '7'), async (tx) => {
        await closing(tx)
        throw new Error('the handler failed')
      })
      await rejectionOf(failing, 'advance, its work failed')
      await late.failed(ALL, SOURCE, ['5'], `it's gone`, never())
      expectEqual(await dueOf(late), ['5'], 'what is due after work that failed')
      let closed: readonly string[] = []
      await store.advance(move('7', '7'), async (tx) => {
        closed = await closing(tx)
      })
      expectEqual(closed, ['5'], 'what was closed')
      expectEqual(await dueOf(late), [], 'what is due in the end')
      const [listed] = await late.list({ state: 'on_late_event' }, 10, never())
      const [of] = listed?.units ?? []
      expectEqual(
        [of?.state, of?.failures, of?.error],
        ['on_late_event', 1, `it's gone`],
        'what has become of it',
      )
    },
  },
  {
    name: 'what another version was given is told, and not what is open, or of another projection',
    needs: NEEDS,
    check: async (fixture) => {
      const [store] = await owners(fixture)
      const late = lateEventsOf(store)
      await missed(store)
      const second = wholeUnit('all', 2)
      const another = wholeUnit('another', 2)
      for (const unit of [second, another]) await store.open(unit, FIRST, never())
      const toldTo = async (unit: typeof ALL): Promise<readonly string[]> => {
        let told: readonly string[] = []
        const { position } = (await store.read(unit, never())) ?? {}
        await store.advance(move(position, position ?? '1', { unit }), async (tx) => {
          told = await late.ofOthers(tx, unit, SOURCE, ['5', '6'])
        })
        return told
      }
      expectEqual(await toldTo(second), [], 'what is told while it is open')
      await store.advance(move('7', '7'), async (tx) => {
        await late.close(tx, ALL, SOURCE, ['5'], 'on_late_event')
      })
      expectEqual(await toldTo(second), ['5'], 'what is told once it was given')
      expectEqual(await toldTo(ALL), [], 'what the version itself is told')
      expectEqual(await toldTo(another), [], 'what another projection is told')
    },
  },
  {
    name: 'what is asked for stays asked for until it is closed, and what is discarded is closed',
    needs: NEEDS,
    check: async (fixture) => {
      const [store, other] = await owners(fixture)
      const late = lateEventsOf(store)
      await missed(store)
      const range = { source: SOURCE, projections: undefined, from: '1', to: '9' }
      expectEqual(await late.ask({ ...range, from: '6' }, DECISION, never()), 0, 'asked for elsewhere')
      expectEqual(await late.ask({ ...range, projections: ['else'] }, DECISION, never()), 0, 'of another')
      expectEqual(await late.ask(range, DECISION, never()), 1, 'asked for')
      expectEqual(await dueOf(late), [], 'what is due of the others')
      expectEqual(await dueOf(late, true), ['5'], 'what is due')
      const twice = { ...DECISION, who: 'another' }
      expectEqual(await lateEventsOf(other).ask(range, twice, never()), 1, 'asked for twice')
      const counts = await late.counts(SOURCE, never())
      expectEqual(
        counts.map(({ unit, open, asked }) => [unit.projection, open, asked]),
        [['all', 1, 1]],
        'the counts',
      )
      const [asked] = await late.list({ projection: 'all' }, 10, never())
      expectEqual(asked?.units[0]?.decision, DECISION, 'who has asked')
      expectEqual(await late.discard(range, DECISION, never()), 1, 'discarded')
      expectEqual(await late.discard(range, DECISION, never()), 0, 'discarded twice')
      expectEqual(await dueOf(late), [], 'what is due')
      expectEqual(await late.counts(SOURCE, never()), [], 'the counts in the end')
    },
  },
  {
    name: 'what is decided about late events has an audit entry, once, whoever else decides so',
    needs: NEEDS,
    check: async (fixture, capabilities) => {
      if (!capabilities.includes('follows_operators')) return
      const [store, other] = await owners(fixture)
      await missed(store)
      const range = { source: SOURCE, projections: undefined, from: '1', to: '9' }
      const twice = { ...DECISION, who: 'another' }
      await lateEventsOf(store).ask(range, DECISION, never())
      await lateEventsOf(other).ask(range, twice, never())
      await lateEventsOf(other).discard(range, DECISION, never())
      await lateEventsOf(store).discard(range, twice, never())
      const entries = await controlOf(store).audit({ limit: 10 }, never())
      const late = { from: '1', to: '9' }
      expectEqual(
        entries.map(({ unit, operation, who, why }) => [unit.projection, operation, who, why]),
        [
          ['all', 'discard_late_events', DECISION.who, DECISION.why],
          ['all', 'reprocess', DECISION.who, DECISION.why],
        ],
        'the audit',
      )
      expectEqual(
        entries.map(({ before, after }) => [before.lateEvents, after?.lateEvents]),
        [
          [
            { ...late, open: 1, asked: 1 },
            { ...late, open: 0, asked: 0 },
          ],
          [
            { ...late, open: 1, asked: 0 },
            { ...late, open: 1, asked: 1 },
          ],
        ],
        'what was found and left',
      )
      expectEqual(
        entries.map(({ before, after }) => [before.position, after?.position]),
        [
          ['7', '7'],
          ['7', '7'],
        ],
        'where the unit stood',
      )
    },
  },
]

type Store = Awaited<ReturnType<typeof owners>>[number]

/** 5 is late, and `ALL` stands at 7. */
async function missed(store: Store): Promise<void> {
  await skipsOf(store).record(SOURCE, RUNS, never())
  await store.advance(move(undefined, '7'), noWork)
  await lateEventsOf(store).record(SOURCE, 'without_proof', [LATE], never())
  await lateEventsOf(store).open(SOURCE, [UNIT], { withinMs: undefined }, never())
}

const dueOf = async <Tx>(late: LateEvents<Tx>, isAsked = false): Promise<readonly string[]> =>
  await late.due(ALL, SOURCE, { isAsked, limit: 10 }, never())
