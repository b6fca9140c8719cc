import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as machine from '../../../packages/core/src/projection/machine.ts'
import { wrongIn } from './history.ts'
import { MACHINE_MUTANTS } from './mutants.ts'
import { mutatedMachine } from './mutate.ts'

const INPUTS = 10_000
const HISTORIES = 40
const MUTANT_HISTORIES = 200

test('in no history does the checkpoint pass an event that is not handled, and each comes to rest', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      expect(wrongIn(machine, seed, INPUTS)).toBeUndefined()
    }),
    { numRuns: HISTORIES },
  )
})

describe('a history notices a machine that', () => {
  test.each(MACHINE_MUTANTS.map((mutant) => [mutant.name, mutant] as const))('%s', (_, mutant) => {
    const mutated = mutatedMachine(mutant)
    const seeds = Array.from({ length: MUTANT_HISTORIES }, (_, index) => index + 1)
    const wrong = seeds.find((seed) => wrongIn(mutated, seed, INPUTS) !== undefined)
    expect(wrong, `no history of ${MUTANT_HISTORIES} was wrong`).toBeDefined()
  })
})
