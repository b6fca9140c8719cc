import type { Evidence } from './event-source.ts'

/** Remembers how far a source was settled while no checkpoint moved, so that a restart goes on from there. */
export interface SettledMemory {
  /** Replaces what was saved for this source before. `progress` gives it back. */
  save(source: string, evidence: Evidence<string>, signal: AbortSignal): Promise<void>
}
