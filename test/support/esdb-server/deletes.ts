import type { handleUnaryCall, ServiceError } from '@grpc/grpc-js'
import type { Database } from './database.ts'
import { ERRORS, wrongExpectedVersion } from './errors.ts'
import { expectedRevision } from './expected-revision.ts'
import type { LogPosition } from './log-position.ts'
import { streamName } from './names.ts'
import { streams } from './protocol.ts'
import { answerUnary } from './unary-calls.ts'
import { deleteStream } from './writes.ts'

const { DeleteReq, DeleteResp, TombstoneReq, TombstoneResp } = streams

/** Streams.Delete.cs */
export function softDelete(database: Database): handleUnaryCall<streams.DeleteReq, streams.DeleteResp> {
  return ({ request }, answer) => {
    const options = request.getOptions() ?? new DeleteReq.Options()
    const respond = (position: LogPosition) =>
      new DeleteResp().setPosition(withPosition(new DeleteResp.Position(), position))
    void answerUnary(database, identity(options), () => run(database, options, false, respond), answer)
  }
}

/** Streams.Delete.cs, Tombstone */
export function tombstone(database: Database): handleUnaryCall<streams.TombstoneReq, streams.TombstoneResp> {
  return ({ request }, answer) => {
    const options = request.getOptions() ?? new TombstoneReq.Options()
    const respond = (position: LogPosition) =>
      new TombstoneResp().setPosition(withPosition(new TombstoneResp.Position(), position))
    void answerUnary(database, identity(options), () => run(database, options, true, respond), answer)
  }
}

type Options = streams.DeleteReq.Options | streams.TombstoneReq.Options

const identity = (options: Options) =>
  ({ kind: 'other', stream: streamName(options.getStreamIdentifier()), group: '' }) as const

interface PositionMessage {
  setCommitPosition(position: string): unknown
  setPreparePosition(position: string): unknown
}

function withPosition<Message extends PositionMessage>(message: Message, position: LogPosition): Message {
  message.setCommitPosition(String(position.commit))
  message.setPreparePosition(String(position.prepare))
  return message
}

function run<Response>(
  database: Database,
  options: Options,
  forGood: boolean,
  respond: (position: LogPosition) => Response,
): Response | ServiceError {
  const stream = streamName(options.getStreamIdentifier())
  const expected = expectedRevision(options)
  const result = deleteStream(database.log, stream, expected, forGood)
  switch (result.outcome) {
    case 'stream deleted':
      return ERRORS['stream-deleted']({ stream })
    case 'wrong expected version':
      return wrongExpectedVersion('Delete', stream, expected, result.actual)
    case 'written':
      return result.record ? respond(result.record) : ERRORS.unknown({})
  }
}
