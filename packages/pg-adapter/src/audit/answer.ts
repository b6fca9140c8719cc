import type { Live } from './live.ts'
import type { Past } from './past.ts'

/** In which order the events of a table were committed. */
export interface CommitAudit {
  /** Quoted, with its schema. */
  readonly table: string
  /** Where the delays are from: timestamps of past commits, or new events that were watched. */
  readonly measured: 'commit_timestamps' | 'live'
  /** Where `measured` is `'live'` it knows no delays; the order of transactions is known all the same. */
  readonly past: Past
  /** `undefined` where the server keeps commit timestamps. */
  readonly live: Live | undefined
  /**
   * Whether the rows name their transactions (`insertedBy`), as in tables whose own readers read behind `xmin`. `formatAudit`
   * then begins with such a reader.
   */
  readonly isReadBehindXmin: boolean
  /** What speaks against relying on it: whole sentences. */
  readonly cannotTell: readonly string[]
}
