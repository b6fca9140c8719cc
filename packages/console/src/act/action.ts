import type { ResolvedConsoleOptions } from '../options.ts'
import type { DryAnswer } from '../protocol.ts'
import type { Fields } from './fields.ts'
import type { Progress } from './jobs.ts'

/** Who asks, and why. */
export interface Asker {
  readonly who: string
  readonly why: string
}

/** What an action was asked to do, once its body is read. */
interface Task {
  /** In words: what is done to what. */
  readonly what: string
  /** What would happen. Changes nothing. */
  dry(asker: Asker): Promise<DryAnswer>
  /** Does it, and answers what it has come to, in words. */
  run(asker: Asker, progress: Progress, signal: AbortSignal): Promise<string>
}

/** Reads the fields of a body that are its own. */
export type Action = (options: ResolvedConsoleOptions, fields: Fields) => Task
