import { describe, expect, test } from 'vitest'
import { runHistory } from './lease-model/history.ts'
import { MUTANTS } from './lease-model/mutants.ts'
import { mutatedSubject, realSubject } from './lease-model/subject.ts'

// TIDEMARK_MODEL_SEED: the one history that a failure named.

/** About a million steps. */
const HISTORIES = 1_500
const MUTANT_HISTORIES = 400

const replayed = process.env.TIDEMARK_MODEL_SEED

test.skipIf(replayed !== undefined)(
  'whatever is slow, lost, frozen or killed: no two owners, nothing twice, and in the end each unit is where it should be',
  () => {
    let steps = 0
    let moves = 0
    for (let seed = 1; seed <= HISTORIES; seed++) {
      const ended = runHistory(realSubject, seed)
      steps += ended.steps
      moves += ended.moves
      expect(ended.harm, `TIDEMARK_MODEL_SEED=${seed}`).toBeUndefined()
    }
    process.stderr.write(`lease model: ${HISTORIES} histories, ${steps} steps, ${moves} moves\n`)
    expect(steps).toBeGreaterThan(1_000_000)
  },
)

test.runIf(replayed !== undefined)('the history of TIDEMARK_MODEL_SEED does no harm', () => {
  expect(runHistory(realSubject, Number(replayed)).harm).toBeUndefined()
})

describe.skipIf(replayed !== undefined)('the model notices when', () => {
  for (const { name, harms, changes } of MUTANTS) {
    test(name, () => {
      const subject = mutatedSubject(changes)
      for (let seed = 1; seed <= MUTANT_HISTORIES; seed++) {
        const { harm } = runHistory(subject, seed)
        if (harm === undefined) continue
        expect(harms).toContain(harm)
        process.stderr.write(`lease model: ${name}: ${harm} after ${seed} histories\n`)
        return
      }
      expect.fail(`none of ${MUTANT_HISTORIES} histories showed: ${harms.join(', or ')}`)
    })
  }
})
