import { type HistoryOptions, type Outcome, runHistory } from './history.ts'

/** Leaves out steps, in ever smaller chunks, as long as the same harm is done. */
function shrink(options: HistoryOptions): {
  readonly steps: readonly number[]
  readonly outcome: Outcome
} {
  const first = runHistory(options)
  const harm = first.violation?.harm
  const all = options.steps ?? Array.from({ length: first.setting.steps }, (_, index) => index)
  let steps = all.slice(0, Math.min(first.at + 1, all.length))
  const fails = (kept: readonly number[]): boolean =>
    runHistory({ ...options, harm, steps: kept }).violation !== undefined

  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < steps.length; ) {
      const kept = [...steps.slice(0, from), ...steps.slice(from + size)]
      if (fails(kept)) steps = kept
      else from += size
    }
  }
  return { steps, outcome: runHistory({ ...options, harm, steps, traced: true }) }
}

/** What a person needs to see, and to run it again. */
export function explain(options: HistoryOptions): string {
  const { steps, outcome } = shrink(options)
  const { weights: _, ...setting } = outcome.setting
  return [
    `${outcome.violation?.message}`,
    `TIDEMARK_MODEL_SEED=${options.seed} replays it; ${steps.length} of its steps suffice, with`,
    JSON.stringify(setting),
    ...outcome.trace,
    `and then ${outcome.violation?.message}`,
  ].join('\n')
}
