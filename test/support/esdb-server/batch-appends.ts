import { type ServerDuplexStream, type ServiceError, status } from '@grpc/grpc-js'
import type { Message } from 'google-protobuf'
import any from 'google-protobuf/google/protobuf/any_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import type { Database } from './database.ts'
import { ANY, NO_STREAM, STREAM_EXISTS } from './expected-revision.ts'
import type { NewEvent } from './log.ts'
import { streamName } from './names.ts'
import { OpenCall } from './open-calls.ts'
import { MAXIMUM_APPEND_SIZE, proposedEvent, sizeOf } from './proposed-events.ts'
import { codes, shared, statuses, streams } from './protocol.ts'
import { parseUuid } from './uuids.ts'
import { type Written, writeEvents } from './writes.ts'

const { BatchAppendResp } = streams
const { Code } = codes

type BatchAppendCall = ServerDuplexStream<streams.BatchAppendReq, streams.BatchAppendResp>

interface Pending {
  readonly options: streams.BatchAppendReq.Options
  readonly events: NewEvent[]
}

/**
 * Streams.BatchAppend.cs: one call that stays open for all appends of a client, told apart by their correlation ids.
 * What goes wrong with one is in its answer; what goes wrong with the node ends the call.
 */
export function batchAppend(database: Database, call: BatchAppendCall): void {
  const open = new OpenCall<streams.BatchAppendResp>(call, database.misbehaviour, {
    kind: 'append',
    stream: '',
  })
  database.calls.add(open)
  const pending = new Map<string, Pending>()
  call.on('data', (request: streams.BatchAppendReq) => {
    const id = parseUuid(request.getCorrelationId())
    const options = request.getOptions()
    if (options) pending.set(id, { options, events: [] })
    const append = pending.get(id)
    if (append === undefined) return
    const stream = streamName(append.options.getStreamIdentifier())
    const answer = new BatchAppendResp()
      .setCorrelationId(request.getCorrelationId())
      .setStreamIdentifier(append.options.getStreamIdentifier())
    const problem = collect(append.events, request.getProposedMessagesList())
    if (problem) {
      pending.delete(id)
      void open.send(answer.setError(problem))
      return
    }
    if (!request.getIsFinal()) return
    pending.delete(id)
    const identity = { kind: 'append', stream, group: '' } as const
    const beginning = database.misbehaviour.beginning(identity)
    const act = (): void => {
      const refusal = database.misbehaviour.refusalOf(identity)
      const refused = refusal && statusOf(refusal)
      if (refused) void open.send(answer.setError(refused))
      else if (refusal) open.fail(refusal)
      else {
        const expected = expectedPosition(append.options)
        const result = writeEvents(database.log, stream, expected, append.events)
        if (result.outcome === 'written') database.eventsAppended += result.count
        void open.send(fill(answer, result, expected))
      }
    }
    if (beginning) void beginning.then(act)
    else act()
  })
  call.on('end', () => open.end())
}

function collect(
  events: NewEvent[],
  messages: readonly streams.BatchAppendReq.ProposedMessage[],
): statuses.Status | undefined {
  for (const message of messages) {
    const event = proposedEvent(message)
    if ('code' in event)
      return detail('BadRequest', Code.INVALID_ARGUMENT, new shared.BadRequest().setMessage(event.details))
    events.push(event)
  }
  const size = events.reduce((sum, event) => sum + sizeOf(event), 0)
  if (size <= MAXIMUM_APPEND_SIZE) return undefined
  const exceeded = new shared.MaximumAppendSizeExceeded().setMaxappendsize(MAXIMUM_APPEND_SIZE)
  return detail('MaximumAppendSizeExceeded', Code.INVALID_ARGUMENT, exceeded)
}

function expectedPosition(options: streams.BatchAppendReq.Options): bigint {
  if (options.hasNoStream()) return NO_STREAM
  if (options.hasAny()) return ANY
  return options.hasStreamExists() ? STREAM_EXISTS : BigInt(options.getStreamPosition())
}

function fill(answer: streams.BatchAppendResp, result: Written, expected: bigint): streams.BatchAppendResp {
  switch (result.outcome) {
    case 'stream deleted':
      return answer.setError(detail('StreamDeleted', Code.NOT_FOUND, new shared.StreamDeleted()))
    case 'wrong expected version':
      return answer.setError(
        detail('WrongExpectedVersion', Code.ALREADY_EXISTS, wrongExpected(expected, result.actual)),
      )
    case 'written': {
      const success = new BatchAppendResp.Success()
      if (result.revision < 0n) success.setNoStream(new empty.Empty())
      else success.setCurrentRevision(String(result.revision))
      if (result.record === undefined) success.setNoPosition(new empty.Empty())
      else {
        const { commit, prepare } = result.record
        success.setPosition(
          new shared.AllStreamPosition()
            .setCommitPosition(String(commit))
            .setPreparePosition(String(prepare)),
        )
      }
      return answer.setSuccess(success)
    }
  }
}

function wrongExpected(expected: bigint, actual: bigint): shared.WrongExpectedVersion {
  const message = new shared.WrongExpectedVersion()
  if (expected === ANY) message.setExpectedAny(new empty.Empty())
  else if (expected === STREAM_EXISTS) message.setExpectedStreamExists(new empty.Empty())
  else if (expected === NO_STREAM) message.setExpectedNoStream(new empty.Empty())
  else message.setExpectedStreamPosition(String(expected))
  if (actual < 0n) message.setCurrentNoStream(new empty.Empty())
  else message.setCurrentStreamRevision(String(actual))
  return message
}

/** The errors that an answer carries (Status.cs). */
function statusOf(refusal: ServiceError): statuses.Status | undefined {
  switch (refusal.metadata.get('exception')[0]) {
    case 'access-denied':
      return detail('AccessDenied', Code.PERMISSION_DENIED, new shared.AccessDenied())
    case 'stream-deleted':
      return detail('StreamDeleted', Code.NOT_FOUND, new shared.StreamDeleted())
  }
  // What has no message of its own goes without one (Status.cs): the clients "could not recognize" it.
  if (refusal.code === status.UNAVAILABLE) {
    return detail('google.protobuf.Empty', Code.UNAVAILABLE, new empty.Empty()).setMessage(refusal.details)
  }
  return refusal.code === status.ABORTED
    ? detail('Timeout', Code.DEADLINE_EXCEEDED, new shared.Timeout())
    : undefined
}

function detail(name: string, code: codes.Code, message: Message): statuses.Status {
  const details = new any.Any()
  details.pack(message.serializeBinary(), name.includes('.') ? name : `event_store.client.${name}`)
  return new statuses.Status().setMessage(name).setCode(code).setDetails(details)
}
