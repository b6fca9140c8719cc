import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as lifecycle from '../../../packages/core/src/high-water/lifecycle.ts'
import { mutatedSource } from '../mutated-source.ts'
import { type Lifecycle, wrongIn } from './history.ts'
import { LIFECYCLE_MUTANTS } from './mutants.ts'

const INPUTS = 5_000
const HISTORIES = 40
const MUTANT_HISTORIES = 10

test('in every history an agent goes on from what holds, uses nothing else, and ends when it is told to', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      expect(wrongIn(lifecycle, seed, INPUTS)).toBeUndefined()
    }),
    { numRuns: HISTORIES },
  )
})

describe('a history notices an agent that', () => {
  test.each(LIFECYCLE_MUTANTS.map((mutant) => [mutant.name, mutant] as const))('%s', (_, mutant) => {
    const { file, replace, by } = mutant
    const load = mutatedSource([{ file: `core/src/high-water/${file}.ts`, replace, by }])
    const mutated = load('core/src/high-water/lifecycle.ts') as Lifecycle
    const seeds = Array.from({ length: MUTANT_HISTORIES }, (_, index) => index + 1)
    const wrong = seeds.find((seed) => wrongIn(mutated, seed, INPUTS) !== undefined)
    expect(wrong, `no history of ${MUTANT_HISTORIES} was wrong`).toBeDefined()
  })
})
