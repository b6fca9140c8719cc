import { denseOrder } from '@tidemark/core/adapter'
import { type EsdbClient, originalRecord } from './client.ts'
import type { ClientInUse } from './client-in-use.ts'
import type { EventLog } from './event-log.ts'
import { parkedFrom } from './parked.ts'
import { type CallLimits, readEach } from './read.ts'

/** One stream: its revisions are dense, also where they were truncated since. */
export function streamLog(
  client: ClientInUse<EsdbClient>,
  stream: string,
  resolveLinkTos: boolean,
): EventLog<bigint> {
  return {
    title: `stream "${stream}"`,
    order: denseOrder,
    positionOf: ({ revision }) => revision,
    positionBeforeParked: (event) =>
      event.event?.streamId === stream ? event.event.revision : parkedFrom(event),
    isHandedOut: () => true,
    isNews: () => true,
    readBackwards: ({ from, count, requiresLeader }) =>
      client.read((it) =>
        it.readStream(stream, {
          direction: 'backwards',
          fromRevision: from,
          maxCount: count,
          resolveLinkTos: false,
          requiresLeader,
        }),
      ),
    readForwards: ({ after, from, upTo, limit }) => {
      const first = from ?? (after === undefined ? 0n : after + 1n)
      return client.read((it) =>
        it.readStream(stream, {
          direction: 'forwards',
          fromRevision: first,
          // The call then ends by itself at `upTo`, and need not be cancelled.
          maxCount: Math.min(limit, Number(upTo - first + 1n)),
          resolveLinkTos,
          requiresLeader: false,
        }),
      )
    },
    readNext: (after) =>
      client.read((it) =>
        it.readStream(stream, {
          direction: 'forwards',
          fromRevision: after + 1n,
          maxCount: 1,
          resolveLinkTos: false,
          requiresLeader: true,
        }),
      ),
    subscribe: () => client.subscribe((it) => it.subscribeToStream(stream, { fromRevision: 'end' })),
    isTruncated: (revision, limits) => isTruncated(client, stream, revision, limits),
  }
}

/** What a stream's metadata says. `$tb` is also how a stream is deleted (and may come back with the next revision). */
interface StreamMetadata {
  readonly $maxAge?: unknown
  readonly $tb?: unknown
}

async function isTruncated(
  client: ClientInUse<EsdbClient>,
  stream: string,
  revision: bigint | undefined,
  limits: CallLimits,
): Promise<boolean> {
  let metadata: StreamMetadata = {}
  await readEach(
    `metadata of stream "${stream}"`,
    () =>
      client.read((it) =>
        it.readStream(`$$${stream}`, {
          direction: 'backwards',
          fromRevision: 'end',
          maxCount: 1,
          resolveLinkTos: false,
          requiresLeader: false,
        }),
      ),
    limits,
    (event) => {
      const { data } = originalRecord(event)
      if (typeof data === 'object' && data !== null) metadata = data
      return false
    },
  )
  const { $maxAge, $tb } = metadata
  return typeof $maxAge === 'number' || (typeof $tb === 'number' && $tb > Number(revision ?? 0n))
}
