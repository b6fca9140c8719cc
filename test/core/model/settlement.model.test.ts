import { describe, expect, test } from 'vitest'
import { runCampaign } from './campaign.ts'
import type { Subject } from './faults.ts'
import { runHistory } from './history.ts'
import { MUTANTS } from './mutants.ts'
import { mutatedProof } from './mutate.ts'
import { realProof } from './proof.ts'
import { explain } from './shrink.ts'

// TIDEMARK_MODEL_SECONDS: as many new histories as fit. TIDEMARK_MODEL_SEED: the one history that a failure named.

const HISTORIES = 20_000
const MUTANT_HISTORIES = 20_000
/** What ten minutes must be enough for. */
const HISTORIES_IN_TEN_MINUTES = 200_000

const replayed = process.env.TIDEMARK_MODEL_SEED
const seconds = process.env.TIDEMARK_MODEL_SECONDS
const real: Subject = { proof: realProof, faults: {} }

const say = (line: string): boolean => process.stderr.write(`${line}\n`)

describe('settlement, against a model of the server', () => {
  test.skipIf(replayed !== undefined)(
    'every committed event is handled once and in order, whatever crashes, restarts and interleaves',
    async () => {
      const timed = seconds !== undefined
      const campaign = await runCampaign({
        subject: real,
        // A run that is given time looks at histories that no run has seen.
        firstSeed: timed ? Date.now() | 0 : 1,
        histories: timed ? Number.POSITIVE_INFINITY : HISTORIES,
        ...(timed && { seconds: Number(seconds) }),
      })
      const { histories, events, crashes, failed } = campaign
      say(
        `model: ${histories} histories, ${events} events, ${crashes} crashes in ${campaign.seconds.toFixed(1)} s`,
      )
      if (failed !== undefined) expect.fail(explain({ seed: failed, subject: real }))
      if (Number(seconds) >= 600) expect(histories).toBeGreaterThanOrEqual(HISTORIES_IN_TEN_MINUTES)
    },
  )

  test.runIf(replayed !== undefined)('the history of TIDEMARK_MODEL_SEED does no harm', () => {
    const options = { seed: Number(replayed), subject: real }
    const { violation } = runHistory(options)
    if (violation) expect.fail(explain(options))
  })
})

describe.skipIf(replayed !== undefined)('the model notices when', () => {
  for (const { name, harm, changes = [], faults = {} } of MUTANTS) {
    test(name, async () => {
      const subject: Subject = { proof: mutatedProof(changes), faults }
      const campaign = await runCampaign({ subject, harm, firstSeed: 1, histories: MUTANT_HISTORIES })
      expect(campaign.failed, `no history of ${campaign.histories} showed: ${harm}`).toBeDefined()
      say(`model: ${name}: ${harm} after ${campaign.histories} histories`)
    })
  }
})
