import { Metadata, type ServiceError, status } from '@grpc/grpc-js'

// The errors of RpcExceptions.cs: code, text and trailing metadata. `exception` is what the clients tell them apart by
// (utils/CommandError.js of both); without it they go by the code.
export function failure(code: status, details: string, metadata: Record<string, string> = {}): ServiceError {
  const trailers = new Metadata()
  for (const [key, value] of Object.entries(metadata)) trailers.set(key, value)
  return Object.assign(new Error(details), { code, details, metadata: trailers })
}

export interface ErrorContext {
  readonly stream?: string
  readonly group?: string
  /** Where `not-leader` sends the client. */
  readonly leader?: { readonly host: string; readonly port: number }
}

/** Every error that a test can ask for by name. */
export type ErrorName =
  | 'not-leader'
  | 'no-leader-info'
  | 'access-denied'
  | 'unauthenticated'
  | 'stream-deleted'
  | 'server-not-ready'
  | 'server-busy'
  | 'timeout'
  | 'consumer-too-slow'
  | 'consumer-too-slow-transitioning'
  | 'deadline-exceeded'
  | 'cancelled'
  | 'unknown'
  | 'invalid-position'
  | 'persistent-subscription-dropped'
  | 'persistent-subscription-does-not-exist'
  | 'persistent-subscription-exists'
  | 'maximum-subscribers-reached'

export const ERRORS: Readonly<Record<ErrorName, (context: ErrorContext) => ServiceError>> = {
  'not-leader': ({ leader = { host: '127.0.0.1', port: 2113 } }: ErrorContext) =>
    failure(status.NOT_FOUND, 'Leader info available', {
      exception: 'not-leader',
      'leader-endpoint-host': leader.host,
      'leader-endpoint-port': String(leader.port),
    }),
  'no-leader-info': () => failure(status.UNKNOWN, 'No leader info available in response'),
  'access-denied': () => failure(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' }),
  unauthenticated: () => failure(status.UNAUTHENTICATED, 'Unauthenticated'),
  'stream-deleted': ({ stream = '' }: ErrorContext) =>
    failure(status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
      exception: 'stream-deleted',
      'stream-name': stream,
    }),
  'server-not-ready': () => failure(status.UNAVAILABLE, 'Server Is Not Ready'),
  'server-busy': () => failure(status.UNAVAILABLE, 'Server Is Too Busy'),
  timeout: () => failure(status.ABORTED, 'Operation timed out: '),
  // EventStoreDB 20 to 23.10 (Enumerators.StreamSubscription.cs, ConsumerTooSlow); later ones go back to the log.
  'consumer-too-slow': () =>
    failure(
      status.ABORTED,
      'Operation timed out: Consumer too slow to handle event while live. Client resubscription required.',
    ),
  'consumer-too-slow-transitioning': () =>
    failure(
      status.ABORTED,
      'Operation timed out: Consumer too slow to handle event while transitioning to live. Client resubscription required.',
    ),
  'deadline-exceeded': () => failure(status.DEADLINE_EXCEEDED, 'Deadline Exceeded'),
  cancelled: () => failure(status.CANCELLED, 'Call canceled'),
  unknown: () => failure(status.UNKNOWN, 'Exception was thrown by handler.'),
  'invalid-position': () => failure(status.INVALID_ARGUMENT, 'Trying to read from an invalid position.'),
  'persistent-subscription-dropped': ({ stream = '', group = '' }: ErrorContext) =>
    failure(status.CANCELLED, `Subscription group ${group} on stream ${stream} was dropped.`, {
      exception: 'persistent-subscription-dropped',
      'stream-name': stream,
      'group-name': group,
    }),
  'persistent-subscription-does-not-exist': ({ stream = '', group = '' }: ErrorContext) =>
    failure(status.NOT_FOUND, `Subscription group ${group} on stream ${stream} does not exist.`, {
      exception: 'persistent-subscription-does-not-exist',
      'stream-name': stream,
      'group-name': group,
    }),
  'persistent-subscription-exists': ({ stream = '', group = '' }: ErrorContext) =>
    failure(status.ALREADY_EXISTS, `Subscription group ${group} on stream ${stream} exists.`, {
      exception: 'persistent-subscription-exists',
      'stream-name': stream,
      'group-name': group,
    }),
  'maximum-subscribers-reached': ({ stream = '', group = '' }: ErrorContext) =>
    failure(
      status.FAILED_PRECONDITION,
      `Maximum subscriptions reached for subscription group ${group} on stream ${stream}.`,
      { exception: 'maximum-subscribers-reached', 'stream-name': stream, 'group-name': group },
    ),
}

export function wrongExpectedVersion(
  operation: string,
  stream: string,
  expected: bigint,
  actual: bigint,
): ServiceError {
  return failure(
    status.FAILED_PRECONDITION,
    `${operation} failed due to WrongExpectedVersion. Stream: ${stream}, Expected version: ${expected}, Actual version: ${actual}`,
    {
      exception: 'wrong-expected-version',
      'stream-name': stream,
      'expected-version': String(expected),
      'actual-version': String(actual),
    },
  )
}

export function persistentSubscriptionFailed(
  { stream = '', group = '' }: ErrorContext,
  reason: string,
): ServiceError {
  return failure(status.INTERNAL, `Subscription group ${group} on stream ${stream} failed: '${reason}'`, {
    exception: 'persistent-subscription-failed',
    'stream-name': stream,
    'group-name': group,
    reason,
  })
}

export function maximumAppendSizeExceeded(maximum: number): ServiceError {
  return failure(status.INVALID_ARGUMENT, `Maximum Append Size of ${maximum} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(maximum),
  })
}

export function missingMetadata(property: string): ServiceError {
  return failure(status.INVALID_ARGUMENT, `Required Metadata Property '${property}' is missing`, {
    exception: 'missing-required-metadata-property',
    'required-metadata-properties': 'type,content-type',
  })
}

export function invalidArgument(details: string): ServiceError {
  return failure(status.INVALID_ARGUMENT, details)
}
