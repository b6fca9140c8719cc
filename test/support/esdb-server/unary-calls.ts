import type { ServiceError, sendUnaryData } from '@grpc/grpc-js'
import type { CallIdentity } from './call-filter.ts'
import type { Database } from './database.ts'

/**
 * Does what a call with one answer asks for, and answers: with the result, late, with an error or never, as the server
 * was told. What is held back has been done: the client that gives up does not know.
 */
export async function answerUnary<Response extends object>(
  database: Database,
  call: CallIdentity,
  act: () => Response | ServiceError,
  answer: sendUnaryData<Response>,
): Promise<void> {
  const done = database.calls.addUnary(call.kind)
  const held = { ...call, sent: 0 }
  const beginning = database.misbehaviour.beginning(call)
  if (beginning) await beginning
  const result = database.misbehaviour.refusalOf(call) ?? act()
  if (database.misbehaviour.concerns(held)) await database.misbehaviour.hold(held)
  done()
  if ('code' in result) answer(result)
  else answer(null, result)
}
