import { randomUUID } from 'node:crypto'
import generatedShared from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js'
import generated from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js'

const { ReadReq, ReadResp } = generated
type Message = { serializeBinary(): Uint8Array }

const TICKS_PER_MS = 10_000n
const CHUNK_BYTES = 64 * 1024

/** What a subscription to a stream of `count` events of some 200 bytes is answered with, ready to be sent. */
export function encodeSubscription(stream: string, count: number): readonly Buffer[] {
  const chunks: Buffer[] = []
  let messages = [
    framed(
      new ReadResp().setConfirmation(new ReadResp.SubscriptionConfirmation().setSubscriptionId(randomUUID())),
    ),
  ]
  let bytes = 0
  for (let revision = 0; revision < count; revision++) {
    const message = encodeEvent(stream, revision)
    messages.push(message)
    bytes += message.length
    if (bytes < CHUNK_BYTES) continue
    chunks.push(Buffer.concat(messages))
    messages = []
    bytes = 0
  }
  messages.push(framed(new ReadResp().setCaughtUp(new ReadResp.CaughtUp())))
  return [...chunks, Buffer.concat(messages)]
}

export function encodeEvent(stream: string, revision: number): Buffer {
  const event = new ReadResp.ReadEvent.RecordedEvent()
    .setId(new generatedShared.UUID().setString(randomUUID()))
    .setStreamIdentifier(new generatedShared.StreamIdentifier().setStreamName(Buffer.from(stream)))
    .setStreamRevision(String(revision))
    .setPreparePosition(String(revision * 512))
    .setCommitPosition(String(revision * 512))
    .setData(Buffer.from(JSON.stringify(payload(revision))))
    .setCustomMetadata(Buffer.alloc(0))
  const metadata = event.getMetadataMap()
  metadata.set('type', 'Transferred')
  metadata.set('created', String(BigInt(Date.now()) * TICKS_PER_MS))
  metadata.set('content-type', 'application/json')
  return framed(
    new ReadResp().setEvent(
      new ReadResp.ReadEvent().setEvent(event).setCommitPosition(String(revision * 512)),
    ),
  )
}

function payload(n: number): Record<string, unknown> {
  return {
    account: n % 10_000,
    amount: n % 997,
    currency: 'EUR',
    channel: 'web',
    note: `invoice ${n}, thank you for your business`,
    correlationId: randomUUID(),
  }
}

/** What the request asks for, of the first message of a call. */
export function isSubscription(request: Buffer): boolean {
  const { options } = ReadReq.deserializeBinary(request.subarray(PREFIX_BYTES)).toObject()
  return options?.subscription !== undefined
}

const PREFIX_BYTES = 5

/** gRPC: not compressed, then the length. */
function framed(message: Message): Buffer {
  const body = message.serializeBinary()
  const frame = Buffer.alloc(PREFIX_BYTES + body.length)
  frame.writeUInt32BE(body.length, 1)
  frame.set(body, PREFIX_BYTES)
  return frame
}
