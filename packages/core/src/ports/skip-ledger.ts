import type { SkippedRun } from './event-source.ts'

/** Remembers the runs that marks passed without proof. The advance that crosses one counts it. */
export interface SkipLedger {
  /** Called before anyone reads up to the mark that passed them. Runs that another daemon has recorded are left out. */
  record(source: string, runs: readonly SkippedRun<string>[], signal: AbortSignal): Promise<void>
}
