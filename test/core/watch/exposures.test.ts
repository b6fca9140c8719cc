import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Action, type Kind, World } from './world.ts'

const WORK = ['begin', 'append', 'append', 'append', 'commit', 'rollback', 'read', 'store'] as const
const READING = ['read', 'store', 'read', 'store'] as const
const WATCHING = ['look', 'snapshot', 'glance', 'glance', 'settle'] as const
const DISTURBANCES = ['reset', 'vanish', 'restart', 'freeze', 'relapse'] as const

const RUNS = { numRuns: 1_000 }

function histories(kinds: readonly Action['kind'][]): fc.Arbitrary<readonly Action[]> {
  return fc.array(fc.record({ kind: fc.constantFrom(...kinds), pick: fc.nat(1_000) }), {
    maxLength: 120,
    size: 'max',
  })
}

function lived(kind: Kind, history: readonly Action[]): World {
  const world = new World(kind)
  for (const action of history) world.act(action)
  world.end()
  return world
}

const positions = (found: readonly { readonly event: { readonly position: bigint } }[]): bigint[] =>
  found.map(({ event }) => event.position)

describe.each(['position', 'pair', 'gaps'] as const)(
  'a consumer whose checkpoint is of the kind %s',
  (kind) => {
    test('has lost what it is said to have lost, and is told of each event once', () => {
      fc.assert(
        fc.property(histories([...WORK, ...READING, ...WATCHING, 'delete']), (history) => {
          const { lost, handled } = lived(kind, history)
          const said = positions(lost)
          expect(said.filter((position) => handled.has(position))).toEqual([])
          expect(new Set(said).size).toBe(said.length)
        }),
        RUNS,
      )
    })

    test('is not accused after it was reset, moved, restarted or started anew', () => {
      fc.assert(
        fc.property(histories([...WORK, ...READING, ...WATCHING, ...DISTURBANCES, 'delete']), (history) => {
          expect(lived(kind, history).falselyLost).toEqual([])
        }),
        RUNS,
      )
    })

    test('is said to have lost each event that looks have shown to be passed, and then to be there', () => {
      let shownInAll = 0
      fc.assert(
        fc.property(histories([...WORK, ...READING, ...WATCHING]), (history) => {
          const { shown, lost, standing } = lived(kind, history)
          const said = new Set([...positions(lost), ...positions(standing?.suspects ?? [])])
          shownInAll += shown.size
          expect([...shown].filter((position) => !said.has(position))).toEqual([])
        }),
        RUNS,
      )
      // A consumer that keeps pairs, and waits for older transactions, loses nothing.
      if (kind === 'pair') expect(shownInAll).toBe(0)
      else expect(shownInAll).toBeGreaterThan(50)
    })
  },
)
