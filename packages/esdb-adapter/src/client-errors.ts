/** What both clients call `ErrorType`, as far as a later try may succeed with nothing changed by anyone. */
export const TRANSIENT_TYPES: Readonly<Record<string, string>> = {
  unavailable: 'the node is down, starting, shutting down or not reached',
  timeout: 'the server gave the operation up (ABORTED)',
  'deadline-exceeded': 'the operation was not done in time, and was given up',
  cancelled: 'the server ended the call: it shuts down, or the consumer was too slow',
  'not-leader': 'the node is not the leader, as after an election; the client goes to the new one by itself',
  unknown: 'a failure that has no name of its own: INTERNAL, RST_STREAM, or one of the native addon',
}

const TOMBSTONED =
  'the stream was deleted for good (a tombstone): it can never be read or written again. Remove what reads it, or let it ' +
  'read another stream'

/** The other types, which someone has to do something about. Known ones make labels; any other is `unknown`. */
const LASTING_TYPES: Readonly<Record<string, string>> = {
  'access-denied':
    'access denied: check the credentials in the connection string, and the access control list of the stream',
  'stream-deleted': TOMBSTONED,
  'stream-tombstoned': TOMBSTONED,
  'stream-not-found': 'the stream has no events',
  'no-stream': 'the stream has no events',
  'not-found': 'what was asked for does not exist',
  'wrong-expected-version': 'another writer was faster',
  'invalid-argument': 'the request makes no sense to the client or the server',
  'maximum-append-size-exceeded': 'the event is larger than the server takes (MaxAppendSize)',
  'persistent-subscription-does-not-exist': 'the group was deleted, or never created',
  'persistent-subscription-dropped': 'the group was deleted or updated, or an operator dropped it',
  'persistent-subscription-failed': 'the group cannot be used',
  'maximum-subscribers-reached': 'the group takes no more consumers',
  unsupported: 'the server is too old for it',
}

/** Errors of both clients, and nothing else, have the gRPC error behind them in `_raw`. */
export function typeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('_raw' in error) || !('type' in error)) return undefined
  return typeof error.type === 'string' ? error.type : undefined
}

export function hasType(error: unknown, type: string): boolean {
  return typeOf(error) === type
}

/**
 * What both say of the ABORTED by which servers to 23.10 end a subscription that has 32 live events waiting. The older client
 * calls it `timeout`, the newer `unknown`.
 */
const CONSUMER_TOO_SLOW = /Consumer too slow to handle event/

/** The client's name of the error where it has one, `consumer_too_slow`, or `unknown`: one of few values. */
export function dropReason(error: unknown): string {
  const type = typeOf(error)
  if (type !== undefined && error instanceof Error && CONSUMER_TOO_SLOW.test(error.message)) {
    return 'consumer_too_slow'
  }
  return type !== undefined && (type in TRANSIENT_TYPES || type in LASTING_TYPES) ? type : 'unknown'
}

/**
 * Says what failed, and what it means, where the client says nothing: an error over the native addon of
 * `@kurrent/kurrentdb-client` has only its own name as its message, a tombstone and what a batch append answers have an empty
 * one, with either client, or "Could not recognize Server Is Not Ready". It stays the client's error.
 */
export function explain(what: string, error: unknown): unknown {
  const type = typeOf(error)
  if (!(error instanceof Error) || type === undefined) return error
  const { message } = error
  const { name } = error.constructor
  if (message !== '' && !message.startsWith(name) && !message.startsWith('Could not recognize')) return error
  const detail = message === '' || message === name ? '' : ` (${message})`
  error.message = `${what}: ${TRANSIENT_TYPES[type] ?? LASTING_TYPES[type] ?? type}${detail}`
  // A stack begins with the message that there was when it was made.
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  error.stack = [`${name}: ${error.message}`, ...frames].join('\n')
  return error
}
