import { HeadUnknownError, SOCKET_FAULTS } from '@tidemark/core/adapter'
import { TRANSIENT_TYPES, typeOf } from './client-errors.ts'
import { EsdbReadEndedEarlyError, EsdbReaderUnavailableError, EsdbTimeoutError } from './errors.ts'

/** What the clients and grpc-js throw as plain errors. */
const PLAIN_MESSAGES: readonly RegExp[] = [
  // Client/discovery.js: no node of the cluster answered.
  /^Failed to discover after/,
  // grpc-js: the client closes a channel that failed, also under a call that is just being made on it.
  /^Channel has been (closed|shut down)/,
]

const OWN_PASSING_FAULTS = [
  EsdbTimeoutError,
  EsdbReadEndedEarlyError,
  EsdbReaderUnavailableError,
  HeadUnknownError,
]

/** Whether a later try may succeed with nothing changed by anyone: such faults are retried for ever. */
export function isTransientEsdbError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (OWN_PASSING_FAULTS.some((kind) => error instanceof kind)) return true
  const type = typeOf(error)
  if (type !== undefined) return type in TRANSIENT_TYPES
  const code = 'code' in error ? error.code : undefined
  if (typeof code === 'string') return SOCKET_FAULTS.has(code)
  // A status of gRPC that the client did not turn into an error of its own.
  if (typeof code === 'number') return 'details' in error
  return PLAIN_MESSAGES.some((message) => message.test(error.message))
}
