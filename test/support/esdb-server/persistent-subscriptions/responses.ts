import { recordedEvent } from '../event-responses.ts'
import type { Resolved } from '../links.ts'
import type { LogRecord } from '../log.ts'
import { persistent, shared } from '../protocol.ts'
import { END } from '../stream-reads.ts'
import type { Message } from './messages.ts'

const { ReadResp } = persistent

export function confirmation(subscriptionId: string): persistent.ReadResp {
  return new ReadResp().setSubscriptionConfirmation(
    new ReadResp.SubscriptionConfirmation().setSubscriptionId(subscriptionId),
  )
}

/** PersistentSubscriptions.Read.cs, ConvertToReadEvent: link and event both carry the position of the link. */
export function messageResponse({ resolved, retryCount }: Message): persistent.ReadResp {
  const message = new ReadResp.ReadEvent().setRetryCount(retryCount)
  const { event, link } = resolved
  const original = link ?? event
  if (event) message.setEvent(recorded(event, original))
  if (link) message.setLink(recorded(link, original))
  const position = commitOf(resolved)
  if (position === undefined) message.setNoPosition(new shared.Empty())
  else message.setCommitPosition(String(position))
  return new ReadResp().setEvent(message)
}

function commitOf({ event, link }: Resolved): bigint | undefined {
  return (link ?? event)?.commit
}

function recorded(
  record: LogRecord,
  original: LogRecord | undefined,
): persistent.ReadResp.ReadEvent.RecordedEvent {
  return recordedEvent(new ReadResp.ReadEvent.RecordedEvent(), record)
    .setCommitPosition(String(original?.commit ?? END))
    .setPreparePosition(String(original?.prepare ?? END))
}
