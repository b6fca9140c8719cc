import type { FirstStart, LockedUnit } from '../../../ports/checkpoint-store.ts'
import type { ControlledUnit, Gathering, Resharding } from '../../../ports/control.ts'
import { slotRanges } from '../../../ports/slot.ts'
import { type Unit, unitName } from '../../../ports/unit.ts'
import { expectCode, expectEqual, rejectionOf, until, within } from '../expectations.ts'
import { controlOf } from './control.ts'
import {
  ALL,
  type CheckpointStoreFixture,
  type CheckpointStoreRule,
  CONFLICT,
  FIRST,
  move,
  never,
  noWork,
  owner,
} from './fixture.ts'

const NEEDS = 'follows_operators'
const STORED = 'TIDEMARK_SHARDS_STORED'
const BY = { who: 'ann', why: 'one batch after another is too slow' }
/** No case lasts as long. */
const LONG_MS = 3_600_000
const SHORT_MS = 20
const LIMITS = { timeoutMs: 10_000, signal: never() }

const shardsOf = (count: number): readonly Unit[] => slotRanges(count).map((slots) => ({ ...ALL, slots }))
const inShards = (count: number): FirstStart => ({ ...FIRST, shards: slotRanges(count) })

/** So many shards, each of which goes on from where the one stood that has its first slot. */
function cutInto(count: number): (found: readonly ControlledUnit[]) => Resharding | undefined {
  return (found) => {
    if (found.length === count) return undefined
    const slots = slotRanges(count)
    const made = slots.map((range) => {
      const heir = found.find(({ unit }) => unit.slots.from <= range.from && range.from <= unit.slots.to)
      if (heir === undefined) throw new TypeError('no shard is found that has the slot')
      return { slots: range, heirOf: heir.unit.slots, to: heir }
    })
    return { ...BY, slots, made }
  }
}

/** Two processes, and a projection in so many shards that stand at `at`; `undefined` where the store replaces none. */
async function inHalves<Tx>(fixture: CheckpointStoreFixture<Tx>, at: string) {
  const [store, other] = [await owner(fixture), await owner(fixture)]
  const control = controlOf(store)
  const { reshard } = control
  if (reshard === undefined) return undefined
  const halves = shardsOf(2)
  for (const unit of halves) {
    await store.open(unit, inShards(2), never())
    await store.advance(move(undefined, at, { unit }), noWork)
  }
  const stored = async (): Promise<readonly string[]> => {
    const units = await within(other.list({}, never()), 'listing the units')
    return units
      .toSorted((a, b) => a.unit.slots.from - b.unit.slots.from)
      .map(({ unit, position }) => `${unitName(unit)} at ${position}`)
  }
  return { store, other, halves, stored, reshard: reshard.bind(control) }
}

const at = (count: number, position: string): readonly string[] =>
  shardsOf(count).map((unit) => `${unitName(unit)} at ${position}`)

/** `control.reshard`, where a store has it, and what is opened of shards. */
export const SHARD_RULES: readonly CheckpointStoreRule[] = [
  {
    name: 'a shard that has a row is opened whatever the other ones are to be, and none is made beside it',
    needs: NEEDS,
    check: async (fixture) => {
      const store = await owner(fixture)
      const [half] = shardsOf(2)
      if (half === undefined) return
      await store.open(half, inShards(2), never())
      await store.advance(move(undefined, '3', { unit: half }), noWork)
      const first = { ...FIRST, shards: [half.slots, ...slotRanges(4).slice(2)] }
      const { position } = await within(store.open(half, first, never()), 'opening a shard that is stored')
      expectEqual(position, '3', 'where the shard stands that was opened among others')
      const stored = (await store.list({}, never())).map(({ unit }) => unitName(unit)).toSorted()
      expectEqual(stored, shardsOf(2).map(unitName).toSorted(), 'what is stored after that')
    },
  },
  {
    name: 'shards are replaced at once, if the store does that: those that are made go on, and no owner of the others moves or makes one',
    needs: NEEDS,
    check: async (fixture) => {
      const made = await inHalves(fixture, '3')
      if (made === undefined) return
      const { store, halves, stored, reshard } = made
      const entries = await within(reshard(ALL, cutInto(4), LIMITS), 'replacing two shards by four')
      expectEqual(await stored(), at(4, '3'), 'the shards after two were replaced by four')
      const noted = entries.map(({ unit, operation, who }) => `${operation} of ${unitName(unit)} by ${who}`)
      expectEqual(
        noted.toSorted(),
        shardsOf(4)
          .map((unit) => `reshard of ${unitName(unit)} by ann`)
          .toSorted(),
        'what is noted of it',
      )
      for (const unit of halves) {
        const moving = store.advance(move('3', '5', { unit }), noWork)
        await expectCode(moving, CONFLICT, 'moving a shard that was replaced')
        await expectCode(store.open(unit, inShards(2), never()), STORED, 'opening a shard that was replaced')
      }
      for (const unit of shardsOf(4)) await store.advance(move('3', '5', { unit }), noWork)
      expectEqual(await stored(), at(4, '5'), 'the shards that were made, once they have moved')
      expectEqual(await reshard(ALL, cutInto(4), LIMITS), [], 'what is noted where nothing is to be done')
    },
  },
  {
    name: 'of several that replace shards at once each decides on what the one before has left, if the store does that',
    needs: NEEDS,
    check: async (fixture) => {
      const made = await inHalves(fixture, '3')
      if (made === undefined) return
      const { stored, reshard } = made
      const found: number[] = []
      const noting =
        (count: number) =>
        (units: readonly ControlledUnit[]): Resharding | undefined => {
          found.push(units.length)
          return cutInto(count)(units)
        }
      await within(
        Promise.all([3, 5].map((count) => reshard(ALL, noting(count), LIMITS))),
        'replacing shards twice at once',
      )
      const last = found[1] === 3 ? 5 : 3
      expectEqual(await stored(), at(last, '3'), 'the shards after two have replaced them at once')
      expectEqual(found, [2, last === 5 ? 3 : 5], 'how many shards each has decided on')
    },
  },
  {
    name: 'what is asked of the first shard changes the others with it, all or none, and waits for one that is at work no longer than was said',
    needs: NEEDS,
    check: async (fixture) => {
      const made = await inHalves(fixture, '3')
      if (made === undefined) return
      const { store, other, halves, stored } = made
      const [first = ALL, second = ALL] = halves
      const request = { id: 'r-1', operation: 'rebuild', ...BY } as const
      await controlOf(other).change(first, (found) => found && { ask: request }, LIMITS)
      const fulfil = (fails: boolean) =>
        controlOf(store).fulfil(
          { unit: first, id: request.id, incarnation: undefined, shardsWithinMs: SHORT_MS, signal: never() },
          async (_, found, _live, others) => {
            if (fails) throw new Error('reset has failed')
            const to = (unit: ControlledUnit) => ({ ...unit, position: undefined })
            return { to: to(found), others: others.map((each) => ({ found: each, to: to(each) })) }
          },
        )
      let done: unknown = 'not tried'
      await store.advance(move('3', '5', { unit: second }), async () => {
        done = await within(fulfil(false), 'a request while another shard is at work')
      })
      expectEqual(done, undefined, 'what was done while another shard was at work')
      await rejectionOf(fulfil(true), 'a request whose work fails')
      const before = [`${unitName(first)} at 3`, `${unitName(second)} at 5`]
      expectEqual(await stored(), before, 'the shards after a request has failed')
      const entry = await fulfil(false)
      expectEqual(await stored(), at(2, 'undefined'), 'the shards after all of them were reset')
      expectEqual(entry && unitName(entry.unit), unitName(first), 'whose audit entry it answers')
      const noted = (await controlOf(other).audit({ limit: 9 }, never())).map(
        ({ unit, operation, before: { position } }) => `${operation} of ${unitName(unit)} from ${position}`,
      )
      expectEqual(
        noted.toSorted(),
        [`rebuild of ${unitName(first)} from 3`, `rebuild of ${unitName(second)} from 5`].toSorted(),
        'what is noted of it',
      )
      const answered = (await controlOf(other).units({}, never())).map((unit) => [
        unit.asked,
        unit.answered?.id,
      ])
      expectEqual(answered, Array(2).fill([undefined, request.id]), 'what is asked of each after it')
      const moving = store.advance(move('5', '7', { unit: second }), noWork)
      await expectCode(moving, CONFLICT, 'moving a shard from where it stood before')
    },
  },
  {
    name: 'shards that are to meet are told how far to come, for as long as was said, if the store does that',
    needs: NEEDS,
    check: async (fixture) => {
      const made = await inHalves(fixture, '3')
      if (made === undefined) return
      const { store, other, halves, stored, reshard } = made
      const [half = ALL] = halves
      const bound = (forMs: number, ...bounds: Gathering['bounds']) =>
        within(
          reshard(ALL, () => ({ bounds, forMs }), LIMITS),
          'saying how far shards are to come',
        )
      const told = async (): Promise<readonly unknown[]> =>
        (await controlOf(other).units({}, never()))
          .toSorted((a, b) => a.unit.slots.from - b.unit.slots.from)
          .map((unit) => unit.bound)
      expectEqual(
        await told(),
        [undefined, undefined],
        'how far shards are to come before anybody has said it',
      )
      expectEqual(await bound(LONG_MS, { slots: half.slots, position: '7' }), [], 'what is noted of it')
      expectEqual(await told(), ['7', undefined], 'how far shards are to come')
      const opened = await store.open(half, inShards(2), never())
      expectEqual(opened.bound, '7', 'how far a shard is to come that is opened')
      let locked: LockedUnit | undefined
      await store.advance(move('3', '5', { unit: half }), async (_, row) => {
        locked = row
      })
      expectEqual(locked?.bound, '7', 'how far it is to come as the work is told')
      expectEqual(await told(), ['7', undefined], 'how far shards are to come once one has moved')
      await bound(0)
      expectEqual(await told(), [undefined, undefined], 'how far shards are to come once they are let go')
      const hold = (forMs: number) =>
        within(controlOf(other).holdBounds?.(ALL, forMs, never()) ?? Promise.resolve(), 'holding bounds')
      await bound(LONG_MS, { slots: half.slots, position: '7' })
      await hold(SHORT_MS)
      await until(told, ([first]) => first === undefined, 'the time ends for which a bound is held')
      await hold(LONG_MS)
      expectEqual(await told(), [undefined, undefined], 'how far shards are to come once a bound is over')
      await bound(LONG_MS, { slots: half.slots, position: '7' })
      await hold(0)
      expectEqual(
        await told(),
        [undefined, undefined],
        'how far shards are to come once bounds are held no more',
      )
      await bound(SHORT_MS, { slots: half.slots, position: '7' })
      await until(told, ([first]) => first === undefined, 'the time ends for which a shard is bound')
      expectEqual(
        (await store.open(half, inShards(2), never())).bound,
        undefined,
        'how far it is to come then',
      )
      expectEqual((await stored()).length, 2, 'how many shards there are after that')
    },
  },
]
