import { type Filter, filterOf } from '../filters.ts'
import type { LogPosition } from '../log-position.ts'
import { streamName } from '../names.ts'
import type { persistent } from '../protocol.ts'
import { END } from '../stream-reads.ts'

export interface Settings {
  /** A stream, or `$all`. */
  readonly source: string
  readonly group: string
  /** The first event of interest (of a stream, its revision stands for both numbers), or only those to come. */
  readonly startFrom: LogPosition | 'live'
  readonly filter: Filter | undefined
  readonly resolveLinks: boolean
  readonly extraStatistics: boolean
  readonly messageTimeoutMs: number
  readonly maxRetryCount: number
  readonly checkpointAfterMs: number
  readonly minCheckpointCount: number
  readonly maxCheckpointCount: number
  /** 0: any number. */
  readonly maxSubscriberCount: number
  readonly liveBufferSize: number
  readonly readBatchSize: number
  readonly historyBufferSize: number
  /** As the client sent it; a strategy that is not served makes Create fail, as an unknown one does. */
  readonly strategy: string
}

const STRATEGIES = ['DispatchToSingle', 'RoundRobin', 'Pinned']

/** PersistentSubscriptions.Create.cs and Update.cs */
export function settingsOf(
  options: persistent.CreateReq.Options | persistent.UpdateReq.Options,
  filter: Filter | undefined,
): Settings {
  const settings = options.getSettings()
  const stream = options.getStream()
  const named = settings?.getNamedConsumerStrategy() ?? 0
  const other = settings && 'getConsumerStrategy' in settings ? settings.getConsumerStrategy() : ''
  return {
    source: options.hasAll()
      ? '$all'
      : streamName(stream?.getStreamIdentifier() ?? options.getStreamIdentifier()),
    group: options.getGroupName(),
    startFrom: startOf(options),
    filter,
    resolveLinks: settings?.getResolveLinks() ?? false,
    extraStatistics: settings?.getExtraStatistics() ?? false,
    messageTimeoutMs: settings?.getMessageTimeoutMs() ?? 0,
    maxRetryCount: settings?.getMaxRetryCount() ?? 0,
    checkpointAfterMs: settings?.getCheckpointAfterMs() ?? 0,
    minCheckpointCount: settings?.getMinCheckpointCount() ?? 0,
    maxCheckpointCount: settings?.getMaxCheckpointCount() ?? 0,
    maxSubscriberCount: settings?.getMaxSubscriberCount() ?? 0,
    liveBufferSize: settings?.getLiveBufferSize() ?? 0,
    readBatchSize: settings?.getReadBatchSize() ?? 0,
    historyBufferSize: settings?.getHistoryBufferSize() ?? 0,
    strategy: other || (STRATEGIES[named] ?? ''),
  }
}

export function filterOfCreate(options: persistent.CreateReq.Options): Filter | undefined {
  return filterOf(options.getAll()?.getFilter())
}

/** Subscribers share the messages in turn, or the first that has room gets all (SystemConsumerStrategies.cs). */
export function isServed(strategy: string): boolean {
  return strategy === 'RoundRobin' || strategy === 'DispatchToSingle'
}

function startOf(options: persistent.CreateReq.Options | persistent.UpdateReq.Options): LogPosition | 'live' {
  const all = options.getAll()
  if (all) {
    const position = all.getPosition()
    if (position === undefined) return all.hasEnd() ? 'live' : placeOf(0n)
    return { commit: BigInt(position.getCommitPosition()), prepare: BigInt(position.getPreparePosition()) }
  }
  const stream = options.getStream()
  if (stream) return stream.hasEnd() ? 'live' : placeOf(BigInt(stream.getRevision()))
  // Both clients still say it as clients of servers before 21.10 do.
  const revision = BigInt(options.getSettings()?.getRevision() ?? 0)
  return revision === END ? 'live' : placeOf(revision)
}

const placeOf = (revision: bigint): LogPosition => ({ commit: revision, prepare: revision })
