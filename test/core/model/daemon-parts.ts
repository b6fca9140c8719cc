import type { Subject } from './faults.ts'
import type { Judge } from './judge.ts'
import type { Journal, Projection } from './projection.ts'
import type { ModelServer } from './server.ts'
import type { Sessions } from './sessions.ts'

export interface DaemonSetting {
  /** Step 3 reads as many positions at most. */
  readonly window: number
  readonly page: number
  readonly beginsWithoutWindow: boolean
  readonly checkpointsElsewhere: boolean
  /** Settled is stored by itself as well. */
  readonly savesSettled: boolean
  /** A pooler hides that the server went away between two messages. */
  readonly pooled: boolean
  /** The share of commits, those of the daemon too, that do not wait for the disk. */
  readonly asynchronous: number
}

export interface DaemonParts {
  readonly server: ModelServer
  readonly journal: Journal
  readonly projections: readonly Projection[]
  readonly setting: DaemonSetting
  readonly subject: Subject
  readonly sessions: Sessions
  readonly judge: Judge
}
