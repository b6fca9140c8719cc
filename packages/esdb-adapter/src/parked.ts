import type { EsdbEvent } from './client.ts'

/** The stream that the server keeps a group's parked messages in, as links. */
const PARKED_STREAM = /^\$persistentsubscription-.+::.+-parked$/

/** Whether it was parked and is handed out once more, by its link: a persistent subscription alone counts retries. */
export function isReplayedParked({ link, retryCount }: EsdbEvent): boolean {
  return retryCount !== undefined && link !== undefined && PARKED_STREAM.test(link.streamId)
}

/** The position in the group's stream, as the server noted it when it parked the message; it may be that of a link. */
export function parkedFrom({ link }: EsdbEvent): bigint | undefined {
  const { metadata } = link ?? {}
  const noted = typeof metadata === 'object' && metadata !== null ? metadata : {}
  // PersistentSubscriptionMessageParker.cs, ParkedMessageMetadata
  const number = 'subscriptionEventNumber' in noted ? noted.subscriptionEventNumber : undefined
  return typeof number === 'number' && Number.isSafeInteger(number) ? BigInt(number) : undefined
}
