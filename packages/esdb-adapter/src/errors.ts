import { TidemarkError } from '@tidemark/core/adapter'
import { TRANSIENT_TYPES } from './client-errors.ts'

/** The server did not answer in time. The call is ended, or left behind where the client cannot end it, and tried again. */
export class EsdbTimeoutError extends TidemarkError {
  readonly code = 'TIDEMARK_ESDB_TIMEOUT'
  constructor(what: string, timeoutMs: number) {
    super(
      `${what}: nothing from the server within ${timeoutMs} ms: it hangs, or the connection has gone silent (check the ` +
        'network, and keepAliveInterval of the connection string); if it really takes that long, raise timeoutMs',
    )
  }
}

/** A read ended, without an error, before it came to an event that had been seen. It is tried again. */
export class EsdbReadEndedEarlyError extends TidemarkError {
  readonly code = 'TIDEMARK_ESDB_READ_ENDED_EARLY'
  constructor(what: string, after: string, upTo: string) {
    super(
      `${what}: a read after ${after} ended without an event, but an earlier one has seen ${upTo}: the call was cut ` +
        'short, or this node is behind the one that was asked before',
    )
  }
}

/**
 * A read found its node unavailable, and the client has no way to another one: the message says what helps. `cause` is the
 * client's error, or what the function that makes clients threw. It is tried again.
 */
export class EsdbReaderUnavailableError extends TidemarkError {
  readonly code = 'TIDEMARK_ESDB_READER_UNAVAILABLE'
  constructor(what: string, detail: string, cause: unknown) {
    super(`${what}: ${TRANSIENT_TYPES.unavailable}; ${detail}`, { cause })
  }
}

/** A checkpoint stream holds what Tidemark has not written. */
export class CheckpointFormatError extends TidemarkError {
  readonly code = 'TIDEMARK_ESDB_CHECKPOINT_FORMAT'
}
