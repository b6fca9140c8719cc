import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Look, VisibleEvent } from '../../../packages/core/src/ports/watch-source.ts'
import {
  type HandedStanding,
  type HandedStep,
  openRuns,
  passedOf,
  standingAbove,
  stepHanded,
} from '../../../packages/core/src/watch/handed.ts'
import { HandedRuns } from '../../../packages/core/src/watch/handed-runs.ts'
import { type Act, HandedWorld, type Order } from './handed-world.ts'

const RUNS = { numRuns: Number(process.env.TIDEMARK_HANDED_RUNS ?? 1_000) }

const WORK = [
  'append',
  'append',
  'append',
  'commit',
  'rollback',
  'read',
  'read',
  'hand',
  'hand',
  'hand',
] as const
const LOOKS = ['settle', 'look', 'snapshot', 'conclude', 'look', 'snapshot', 'conclude'] as const

function histories(kinds: readonly Act['kind'][]): fc.Arbitrary<readonly Act[]> {
  return fc.array(fc.record({ kind: fc.constantFrom(...kinds), pick: fc.nat(1_000) }), {
    maxLength: 150,
    size: 'max',
  })
}

function lived(order: Order, history: readonly Act[]): HandedWorld {
  const world = new HandedWorld(order)
  for (const act of history) world.act(act)
  world.end()
  return world
}

/** Most looks come to an end before anything else happens. */
function wholeLook(act: Act): readonly Act[] {
  if (act.kind !== 'look' || act.pick % 4 === 0) return [act]
  return [act, { kind: 'snapshot', pick: 5 }, { kind: 'conclude', pick: act.pick }]
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : 1)

describe.each(['position', 'transaction', 'commit'] as const)(
  'a consumer that reads in the order of: %s',
  (order) => {
    test('all that was never handed over is told, once, and nothing else', () => {
      let missedInAll = 0
      fc.assert(
        fc.property(histories([...WORK, ...LOOKS, 'fail', 'jump']), (history) => {
          const { lost, missed } = lived(order, history)
          missedInAll += missed.length
          expect(lost.map(({ event }) => event.position).toSorted(ascending)).toEqual(missed)
        }),
        RUNS,
      )
      // Who waits for older transactions, or reads in the order of commits, loses nothing.
      if (order === 'position') expect(missedInAll).toBeGreaterThan(RUNS.numRuns / 4)
      else expect(missedInAll).toBe(0)
    })

    test('of processes that are killed and started again, no event is told that any of them was given', () => {
      let unsure = 0
      fc.assert(
        fc.property(histories([...WORK, ...LOOKS, 'look', 'look', 'fail', 'jump', 'restart']), (history) => {
          const world = lived(order, history.flatMap(wholeLook))
          unsure += world.unsure.filter(({ because }) => because === 'restarted').length
          expect(world.falsely).toEqual([])
        }),
        RUNS,
      )
      if (order === 'position') expect(unsure).toBeGreaterThan(0)
    })
  },
)

test('runs say the same as a set', () => {
  const positions = fc.array(fc.bigInt(0n, 60n), { maxLength: 80 })
  const cut = fc.record({
    above: fc.bigInt(-1n, 60n),
    runs: fc.uniqueArray(fc.bigInt(0n, 60n), { maxLength: 6 }),
  })
  fc.assert(
    fc.property(positions, cut, positions, (first, { above, runs }, then) => {
      const handed = new HandedRuns()
      const set = new Set<bigint>()
      const add = (position: bigint): void => {
        handed.add(position)
        set.add(position)
      }
      first.forEach(add)
      const sorted = runs.toSorted(ascending)
      const within = sorted.flatMap((from, index) => {
        const to = sorted[index + 1]
        return index % 2 === 0 ? [{ from, to: to === undefined ? from : to - 1n }] : []
      })
      handed.keep(above, within)
      for (const position of [...set]) {
        const isWithin = within.some(({ from, to }) => from <= position && position <= to)
        if (position <= above && !isWithin) set.delete(position)
      }
      then.forEach(add)
      for (let position = -1n; position < 62n; position++) {
        expect(handed.has(position)).toBe(set.has(position))
      }
      const starts = [...set].filter((position) => !set.has(position - 1n))
      expect(handed.size).toBe(starts.length)
    }),
    RUNS,
  )
})

const event = (position: bigint, transaction?: bigint): VisibleEvent => ({ position, transaction, type: 'a' })

/** A look at a store where nothing is settled, at a handler that was given these positions. */
function look(
  before: HandedStanding,
  { handed, ...seen }: Partial<Look> & { readonly handed: readonly bigint[] },
  head: bigint,
): HandedStep {
  const handedTo = handed.at(-1) ?? 0n
  return stepHanded(before, {
    look: { appeared: [], unseen: [], visible: [], through: handedTo, ...seen },
    settled: undefined,
    head,
    handedTo,
    isHanded: (position) => handed.includes(position),
    handles: () => true,
    atMs: 2,
    previousAtMs: 1,
    heldBy: [],
  })
}

const told = ({ lost }: HandedStep): bigint[] => lost.map(({ event: { position } }) => position)

test('one that reads in the order of transactions has not read on with an event of an older transaction', () => {
  const first = look(
    standingAbove(0n, 0n, { begunAt: 0n }),
    { handed: [1n, 3n], visible: [event(1n, 1n), event(2n, 9n), event(3n, 2n)] },
    3n,
  )
  const older = look(first.standing, { handed: [1n, 3n, 4n], visible: [event(4n, 3n)] }, 4n)
  expect(told(older)).toEqual([])
  const later = look(
    older.standing,
    { handed: [1n, 3n, 4n, 5n, 6n], visible: [event(5n, 12n), event(6n, 4n)] },
    6n,
  )
  expect(told(later)).toEqual([2n])
})

test('what a look has left out is looked at again, whether it is visible by then or not', () => {
  const handed = [1n, 5n]
  const first = look(standingAbove(0n, 0n, { begunAt: 0n }), { handed, visible: [event(1n), event(5n)] }, 5n)
  const second = look(first.standing, { handed, appeared: [event(2n)], unseen: [{ from: 3n, to: 4n }] }, 5n)
  expect(openRuns(second.standing)).toEqual([{ from: 3n, to: 4n }])
  const third = look(second.standing, { handed, appeared: [event(3n)] }, 5n)
  expect(openRuns(third.standing)).toEqual([{ from: 4n, to: 4n }])
  const fourth = look(
    third.standing,
    { handed: [1n, 5n, 6n], appeared: [event(4n)], visible: [event(6n)] },
    6n,
  )
  expect(told(fourth)).toEqual([2n, 3n])
  expect(fourth.standing.suspects).toMatchObject([{ event: { position: 4n }, missingAtMs: 1 }])
})

test('what was open below the first event that was handed over, and appears, is said to be unknown', () => {
  const first = look(standingAbove(9n, 7n), { handed: [10n], visible: [event(9n), event(10n)] }, 10n)
  expect(openRuns(first.standing)).toEqual([{ from: 8n, to: 8n }])
  const second = look(
    first.standing,
    { handed: [10n, 11n], appeared: [event(8n)], visible: [event(11n)] },
    11n,
  )
  expect(second).toMatchObject({ lost: [], unsure: [{ event: { position: 8n }, because: 'first_sight' }] })
  expect(second.standing.suspects).toEqual([])
})

test('what was passed while nobody could see it, and is seen to be missing after a restart, is told', () => {
  const first = look(
    standingAbove(0n, 0n, { begunAt: 0n }),
    { handed: [1n, 3n], visible: [event(1n), event(3n)] },
    3n,
  )
  expect(passedOf(first.standing)).toEqual([{ from: 2n, to: 2n }])
  for (const { settled, isMissing } of [
    { settled: undefined, isMissing: true },
    { settled: 1n, isMissing: true },
    { settled: undefined, isMissing: false },
    { settled: 1n, isMissing: false },
  ]) {
    const begun = standingAbove(3n, settled, { passed: passedOf(first.standing) })
    const late = settled === undefined ? { appeared: [event(2n)] } : { visible: [event(2n), event(4n)] }
    const second = look(begun, { handed: [4n], visible: [event(4n)], ...(isMissing ? {} : late) }, 4n)
    const third = look(second.standing, { handed: [4n], appeared: isMissing ? [event(2n)] : [] }, 4n)
    const fourth = look(third.standing, { handed: [4n, 5n], visible: [event(5n)] }, 5n)
    expect(told(fourth)).toEqual(isMissing ? [2n] : [])
    expect([...second.unsure, ...third.unsure].map(({ because }) => because)).toEqual(
      isMissing ? [] : ['restarted'],
    )
    expect(passedOf(third.standing)).toEqual(isMissing ? [{ from: 2n, to: 2n }] : [])
    expect(fourth.standing.kept).toEqual([])
  }
})

test('of what a former process has passed nothing is said where a partition comes or goes, or transactions are the order', () => {
  const begun = standingAbove(3n, undefined, { passed: [{ from: 2n, to: 2n }] })
  const second = look(begun, { handed: [4n], layout: 'one' }, 4n)
  const rearranged = look(second.standing, { handed: [4n], appeared: [event(2n)], layout: 'two' }, 4n)
  expect(rearranged.unsure).toMatchObject([{ because: 'rearranged' }])
  const ordered = look(second.standing, { handed: [4n], appeared: [event(2n, 7n)], layout: 'one' }, 4n)
  expect(ordered.unsure).toMatchObject([{ because: 'first_sight' }])
  for (const { standing } of [rearranged, ordered]) expect(standing.suspects).toEqual([])
})

test('what is visible at the first look may have been handed over before the process was started: it is not told', () => {
  const first = look(
    standingAbove(1n, 1n),
    { handed: [2n, 5n], visible: [2n, 3n, 5n].map((at) => event(at)) },
    6n,
  )
  expect(first.unsure).toMatchObject([{ event: { position: 3n }, because: 'first_sight' }])
  const second = look(
    first.standing,
    { handed: [2n, 5n, 8n], visible: [6n, 7n, 8n].map((at) => event(at)) },
    8n,
  )
  expect(second.unsure).toMatchObject([{ event: { position: 6n }, because: 'first_sight' }])
  expect(second.standing.suspects).toMatchObject([{ event: { position: 7n } }])
})
