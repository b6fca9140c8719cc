import timestamps from 'google-protobuf/google/protobuf/timestamp_pb.js'
import type { LogPosition } from './log-position.ts'
import { streamIdentifier } from './names.ts'
import { streams } from './protocol.ts'

const { ReadResp } = streams

// What Streams.Read answers besides events. All of it is bytes at once: an event is sent many times, and made once.
const bytes = (message: streams.ReadResp): Buffer => Buffer.from(message.serializeBinary())

export function confirmation(subscriptionId: string): Buffer {
  return bytes(
    new ReadResp().setConfirmation(new ReadResp.SubscriptionConfirmation().setSubscriptionId(subscriptionId)),
  )
}

/** @param saysWhen - older servers do not */
export function checkpoint(position: LogPosition, saysWhen: boolean): Buffer {
  const message = new ReadResp.Checkpoint()
    .setCommitPosition(String(position.commit))
    .setPreparePosition(String(position.prepare))
  if (saysWhen) message.setTimestamp(now())
  return bytes(new ReadResp().setCheckpoint(message))
}

export function streamNotFound(stream: string): Buffer {
  return bytes(
    new ReadResp().setStreamNotFound(
      new ReadResp.StreamNotFound().setStreamIdentifier(streamIdentifier(stream)),
    ),
  )
}

export type Reached = { readonly revision: bigint } | { readonly position: LogPosition } | undefined

/**
 * Without `reached` for an empty stream or database (streams.proto, CaughtUp).
 *
 * @param saysWhen - older servers say neither when nor where
 */
export function caughtUp(reached: Reached, saysWhen: boolean): Buffer {
  const message = new ReadResp.CaughtUp()
  return bytes(new ReadResp().setCaughtUp(saysWhen ? reach(message, reached) : message))
}

export function fellBehind(reached: Reached): Buffer {
  return bytes(new ReadResp().setFellBehind(reach(new ReadResp.FellBehind(), reached)))
}

function reach<M extends streams.ReadResp.CaughtUp | streams.ReadResp.FellBehind>(
  message: M,
  reached: Reached,
): M {
  message.setTimestamp(now())
  if (reached === undefined) return message
  if ('revision' in reached) message.setStreamRevision(String(reached.revision))
  else {
    message.setPosition(
      new ReadResp.Position()
        .setCommitPosition(String(reached.position.commit))
        .setPreparePosition(String(reached.position.prepare)),
    )
  }
  return message
}

export function lastStreamPosition(revision: bigint): Buffer {
  return bytes(new ReadResp().setLastStreamPosition(String(revision)))
}

export function firstStreamPosition(revision: bigint): Buffer {
  return bytes(new ReadResp().setFirstStreamPosition(String(revision)))
}

function now(): timestamps.Timestamp {
  return timestamps.Timestamp.fromDate(new Date())
}
