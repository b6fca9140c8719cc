import type { HighWaterReading } from '../../../ports/event-source.ts'
import { isReached } from '../../../ports/position.ts'
import { expectEqual, expectThat } from '../expectations.ts'
import { needed } from '../suite.ts'
import type { ConformanceTransaction, EventSourceFixture, EventSourceRule } from './fixture.ts'
import { Reader } from './reader.ts'

const OPEN = 'open_transactions'

/** What `readHighWater` promises where a position can be taken and not yet be visible. */
export const OPEN_TRANSACTION_RULES: readonly EventSourceRule[] = [
  {
    name: 'the mark stops before the gap of an open transaction, and passes once it has committed',
    needs: OPEN,
    check: async (store) => {
      const { reader, before, transaction } = await gap(store)
      const held = await reader.poll()
      await expectHeld(reader, before, held)
      await transaction.commit()
      const passed = await reader.caughtUp()
      const { ids } = await reader.pages(passed, { after: before.mark })
      expectEqual(ids, ['slow', 'fast'], 'the events above the former mark')
    },
  },
  {
    name: 'the mark passes the gap of a transaction that was rolled back, and nothing counts as skipped',
    needs: OPEN,
    check: async (store) => {
      const { reader, before, transaction } = await gap(store)
      await expectHeld(reader, before, await reader.poll())
      await transaction.rollback()
      const passed = await reader.caughtUp()
      const { ids } = await reader.pages(passed, { after: before.mark })
      expectEqual(ids, ['fast'], 'the events above the former mark')
      expectEqual(passed.skipped.length, 0, 'how many runs the poll has skipped')
    },
  },
  {
    name: 'behind an open transaction settled stands below the head, and the gap or its holder is named',
    needs: OPEN,
    check: async (store) => {
      const { reader, transaction } = await gap(store)
      const { gaps, holders, head, settled } = await reader.poll()
      await transaction.rollback()
      expectThat(!isReached(reader.order, head, settled), 'settled stands below the head', {
        head: reader.text(head),
        settled: reader.text(settled),
      })
      expectThat(gaps.length + holders.length > 0, 'there is a gap, or a holder')
    },
  },
  {
    name: 'a first poll does not pass the gap of a transaction that it never saw begin',
    needs: OPEN,
    check: async (store) => {
      const { before, transaction } = await gap(store)
      const late = new Reader(store)
      const held = await late.poll()
      const early = await late.pages(held)
      expectThat(!early.ids.includes('fast'), 'the event above the gap is not under the mark', early.ids)
      await transaction.commit()
      const { ids } = await late.pages(await late.caughtUp(), { after: before.mark })
      expectEqual(ids, ['slow', 'fast'], 'the events above what was there before the gap')
    },
  },
  {
    name: 'a process that starts anew behind an open transaction goes on from what is stored as settled',
    needs: OPEN,
    check: async (store) => {
      const { reader, transaction } = await gap(store)
      const { incarnation, settled, logPosition } = await reader.poll()
      const late = new Reader(store)
      const stored = { unit: undefined, position: undefined, incarnation, settled, logPosition }
      const resumed = await late.poll(async () => [stored])
      await transaction.rollback()
      expectThat(
        isReached(late.order, settled, resumed.settled),
        'settled is at least what was stored for this incarnation',
        { stored: late.text(settled), settled: late.text(resumed.settled) },
      )
    },
  },
  {
    name: 'a rolled-back tail is settled, and does not move the mark',
    needs: OPEN,
    check: async (store) => {
      const reader = new Reader(store)
      await store.append([{ id: 'first', type: 'Happened' }])
      const before = await reader.caughtUp()
      const transaction = await needed(store.begin, 'begin', OPEN)()
      await transaction.append({ id: 'never', type: 'Happened' })
      await transaction.rollback()
      const reading = await reader.caughtUp()
      expectEqual(
        reader.text(reading.mark),
        reader.text(before.mark),
        'the mark, with nothing visible above it',
      )
    },
  },
  {
    name: 'what lies up to a mark never changes, whatever order transactions end in',
    needs: OPEN,
    check: async (store) => {
      const reader = new Reader(store)
      const open = new Map<string, ConformanceTransaction>()
      const seen: { readonly ids: readonly string[]; readonly look: () => Promise<readonly string[]> }[] = []
      let reading = await reader.poll()
      for (const [id, step] of SCHEDULE) {
        const transaction = open.get(id) ?? (await needed(store.begin, 'begin', OPEN)())
        open.set(id, transaction)
        if (step === 'commit' || step === 'rollback') await transaction[step]()
        else await transaction.append({ id: `${id}${step}`, type: 'Happened' })
        reading = await reader.poll()
        const { mark } = reading
        const { ids } = await reader.pages(reading)
        if (mark === undefined) continue
        seen.push({ ids, look: async () => (await reader.pages(reading, { upTo: mark })).ids })
      }
      reading = await reader.caughtUp()
      for (const { ids, look } of seen)
        expectEqual(await look(), ids, 'the events up to what was once the mark')
      expectEqual((await reader.pages(reading)).ids, COMMITTED, 'every committed event, by position')
    },
  },
]

/** Which transaction does what: takes a position for its event of that number, or ends. */
const SCHEDULE: readonly (readonly [string, 1 | 2 | 'commit' | 'rollback'])[] = [
  ['a', 1],
  ['b', 1],
  ['b', 'commit'],
  ['a', 2],
  ['c', 1],
  ['a', 'commit'],
  ['d', 1],
  ['d', 'commit'],
  ['c', 'rollback'],
  ['e', 1],
  ['e', 'rollback'],
  ['f', 1],
  ['f', 'commit'],
]
const COMMITTED: readonly string[] = ['a1', 'b1', 'a2', 'd1', 'f1']

interface HeldStore<P, E> {
  readonly reader: Reader<P, E>
  /** The reading from before the transaction began. */
  readonly before: HighWaterReading<P>
  readonly transaction: ConformanceTransaction
}

/** `first` is visible, `slow` has the next position in a transaction that is open, `fast` is visible above it. */
async function gap<P, E>(store: EventSourceFixture<P, E>): Promise<HeldStore<P, E>> {
  const begin = needed(store.begin, 'begin', OPEN)
  const reader = new Reader(store)
  await store.append([{ id: 'first', type: 'Happened' }])
  const before = await reader.caughtUp()
  expectEqual((await reader.pages(before)).ids, ['first'], 'the events up to the mark')
  const transaction = await begin()
  await transaction.append({ id: 'slow', type: 'Happened' })
  await store.append([{ id: 'fast', type: 'Happened' }])
  return { reader, before, transaction }
}

async function expectHeld<P, E>(
  reader: Reader<P, E>,
  before: HighWaterReading<P>,
  held: HighWaterReading<P>,
): Promise<void> {
  expectEqual(
    reader.text(held.mark),
    reader.text(before.mark),
    'the mark while the transaction below is open',
  )
  expectEqual((await reader.pages(held)).ids, ['first'], 'the events up to the mark')
}
