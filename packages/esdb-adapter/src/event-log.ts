import type { PositionOrder } from '@tidemark/core/adapter'
import type { EsdbEvent, EsdbRecord, EsdbSubscription } from './client.ts'
import type { ClientRead } from './client-in-use.ts'
import type { CallLimits } from './read.ts'

/** What a source reads: one stream, or `$all`. Everything else of a source is the same for both. */
export interface EventLog<P> {
  /** For messages. */
  readonly title: string
  readonly order: PositionOrder<P>
  positionOf(record: EsdbRecord): P
  /** Where an event of a group stood before it was parked, of one that is replayed: its link stands elsewhere. */
  positionBeforeParked(event: EsdbEvent): P | undefined
  isHandedOut(record: EsdbRecord): boolean
  isNews(record: EsdbRecord): boolean
  /** `count` records from the end, or from `from`, which may be among them. Links are not resolved. */
  readBackwards(request: {
    readonly from: P | 'end'
    readonly count: number
    readonly requiresLeader: boolean
  }): ClientRead<EsdbEvent>
  /**
   * Events after `after`, or from `from` on, enough for a page of `limit`, also such as are not handed out; may begin with
   * `after` itself.
   */
  readForwards(request: {
    readonly after: P | undefined
    readonly from?: P | undefined
    readonly upTo: P
    readonly limit: number
  }): ClientRead<EsdbEvent>
  /** The first event after `after`, handed out or not, as the leader has it; may begin with `after` itself. */
  readNext(after: P): ClientRead<EsdbEvent>
  /** From now on. */
  subscribe(): EsdbSubscription
  /**
   * Whether the log was truncated by its owner (`$maxAge`, `$tb`, deleted) so far that what stood up to `position`, or
   * anything at all, may be gone. Asked only where the log reads as empty: then it need not be one that went back.
   */
  isTruncated(position: P | undefined, limits: CallLimits): Promise<boolean>
}
