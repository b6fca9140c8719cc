import type { EsdbClient, EsdbPosition, EsdbRecord } from './client.ts'
import type { ClientInUse } from './client-in-use.ts'
import type { EventLog } from './event-log.ts'
import type { AllFilter } from './filter.ts'
import { allOrder, isInLog } from './position.ts'

/** Where events are left out, a small page has to look at more of them; what it does not need is read for nothing. */
const LEAST_READ = 32

/**
 * `$all`, read whole and filtered here. A filtered read of the server does not say how far it has looked, so that one that
 * was cut short would pass for one that found nothing more; and its subscriptions have said wrong things about it
 * (https://github.com/kurrent-io/KurrentDB/issues/3697, pull requests 4035 and 4975).
 */
export function allLog(
  client: ClientInUse<EsdbClient>,
  filter: AllFilter,
  resolveLinkTos: boolean,
): EventLog<EsdbPosition> {
  return {
    title: '$all',
    order: allOrder,
    positionOf,
    positionBeforeParked: ({ event }) =>
      event?.position && isInLog(event.position) ? event.position : undefined,
    isHandedOut: filter.isHandedOut,
    isNews: filter.isNews,
    readBackwards: ({ from, count, requiresLeader }) =>
      client.read((it) =>
        it.readAll({
          direction: 'backwards',
          fromPosition: from,
          maxCount: count,
          resolveLinkTos: false,
          requiresLeader,
        }),
      ),
    readForwards: ({ after, from, limit }) =>
      client.read((it) =>
        it.readAll({
          direction: 'forwards',
          fromPosition: from ?? after ?? 'start',
          // The event at the position is read again.
          maxCount: Math.max(limit, LEAST_READ) + 1,
          resolveLinkTos,
          requiresLeader: false,
        }),
      ),
    readNext: (after) =>
      client.read((it) =>
        it.readAll({
          direction: 'forwards',
          fromPosition: after,
          maxCount: 2,
          resolveLinkTos: false,
          requiresLeader: true,
        }),
      ),
    subscribe: () =>
      client.subscribe((it) => it.subscribeToAll({ fromPosition: 'end', filter: filter.onServer })),
    // There is always something in it.
    isTruncated: async () => false,
  }
}

function positionOf({ position, streamId, revision }: EsdbRecord): EsdbPosition {
  if (position === undefined) {
    throw new TypeError(`expected a position in $all of event ${revision}@${streamId}, found none`)
  }
  return position
}
