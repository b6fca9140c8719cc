import type { Subject } from './faults.ts'
import { runHistory } from './history.ts'
import type { Harm } from './judge.ts'

export interface Campaign {
  readonly histories: number
  readonly events: number
  readonly crashes: number
  readonly seconds: number
  /** The seed of the first history that did harm. */
  readonly failed: number | undefined
}

interface CampaignOptions {
  readonly subject: Subject
  readonly harm?: Harm
  readonly firstSeed: number
  readonly histories: number
  readonly seconds?: number
}

/** Runs histories of consecutive seeds until one of them does harm, or there were enough. */
export async function runCampaign(options: CampaignOptions): Promise<Campaign> {
  const { subject, harm, firstSeed, seconds = Number.POSITIVE_INFINITY } = options
  const startedMs = performance.now()
  const elapsed = (): number => (performance.now() - startedMs) / 1000
  let histories = 0
  let events = 0
  let crashes = 0
  let failed: number | undefined
  while (failed === undefined && histories < options.histories && elapsed() < seconds) {
    const seed = (firstSeed + histories) | 0
    const outcome = runHistory({ seed, subject, harm })
    histories++
    events += outcome.events
    crashes += outcome.crashes
    if (outcome.violation) failed = seed
    // The test runner is spoken to in between.
    if (histories % 500 === 0) await new Promise(setImmediate)
  }
  return { histories, events, crashes, seconds: elapsed(), failed }
}
