import type { ServerReadableStream, ServiceError, sendUnaryData } from '@grpc/grpc-js'
import type { Database } from './database.ts'
import { ERRORS, maximumAppendSizeExceeded } from './errors.ts'
import { ANY, expectedRevision, NO_STREAM, STREAM_EXISTS } from './expected-revision.ts'
import type { NewEvent } from './log.ts'
import { streamName } from './names.ts'
import { MAXIMUM_APPEND_SIZE, proposedEvent, sizeOf } from './proposed-events.ts'
import { shared, streams } from './protocol.ts'
import { answerUnary } from './unary-calls.ts'
import { type Written, writeEvents } from './writes.ts'

const { AppendResp } = streams

/** Streams.Append.cs: options first, then an event a message. */
export function append(
  database: Database,
  call: ServerReadableStream<streams.AppendReq, streams.AppendResp>,
  answer: sendUnaryData<streams.AppendResp>,
): void {
  const events: NewEvent[] = []
  let options = new streams.AppendReq.Options()
  let failure: ServiceError | undefined
  let size = 0
  call.on('data', (request: streams.AppendReq) => {
    options = request.getOptions() ?? options
    const message = request.getProposedMessage()
    if (message === undefined || failure) return
    const event = proposedEvent(message)
    if ('code' in event) {
      failure = event
      return
    }
    events.push(event)
    size += sizeOf(event)
    if (size > MAXIMUM_APPEND_SIZE) failure = maximumAppendSizeExceeded(MAXIMUM_APPEND_SIZE)
  })
  call.on('end', () => {
    const stream = streamName(options.getStreamIdentifier())
    const act = (): streams.AppendResp | ServiceError => {
      if (failure) return failure
      const expected = expectedRevision(options)
      const result = writeEvents(database.log, stream, expected, events)
      if (result.outcome === 'stream deleted') return ERRORS['stream-deleted']({ stream })
      if (result.outcome === 'written') database.eventsAppended += result.count
      return response(result, expected)
    }
    void answerUnary(database, { kind: 'append', stream, group: '' }, act, answer)
  })
}

function response(
  result: Exclude<Written, { outcome: 'stream deleted' }>,
  expected: bigint,
): streams.AppendResp {
  if (result.outcome === 'wrong expected version') {
    return new AppendResp().setWrongExpectedVersion(wrongExpected(expected, result.actual))
  }
  const message = new AppendResp.Success()
  if (result.revision < 0n) message.setNoStream(new shared.Empty())
  else message.setCurrentRevision(String(result.revision))
  if (result.record === undefined) message.setNoPosition(new shared.Empty())
  else {
    const { commit, prepare } = result.record
    message.setPosition(
      new AppendResp.Position().setCommitPosition(String(commit)).setPreparePosition(String(prepare)),
    )
  }
  return new AppendResp().setSuccess(message)
}

/** A wrong expected revision is an answer of Append, not an error. */
function wrongExpected(expected: bigint, actual: bigint): streams.AppendResp.WrongExpectedVersion {
  const message = new AppendResp.WrongExpectedVersion()
  if (expected === ANY) message.setExpectedAny(new shared.Empty())
  else if (expected === STREAM_EXISTS) message.setExpectedStreamExists(new shared.Empty())
  else if (expected === NO_STREAM) message.setExpectedNoStream(new shared.Empty())
  else message.setExpectedRevision(String(expected))
  if (actual < 0n) message.setCurrentNoStream(new shared.Empty())
  else message.setCurrentRevision(String(actual))
  return message
}
