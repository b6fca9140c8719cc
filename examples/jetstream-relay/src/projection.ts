import type { OnFailure, Projection } from '@tidemark/core'
import type { PoolClient } from 'pg'
import { MessageTooLargeError, RelayHaltedError } from './errors.ts'
import type { RelayedEvent } from './event.ts'
import type { Relay } from './relay.ts'

/**
 * A broker that is away, full or slow is tried again for ever, at growing intervals up to 20 s: nothing is passed. What it will never
 * take is parked with its key, so that the order of that key holds.
 */
export const onFailure: OnFailure<RelayedEvent> = ({ error, stage }) => {
  if (error instanceof MessageTooLargeError) return 'park_key'
  if (error instanceof RelayHaltedError || stage === 'map') return 'pause'
  return 'retry'
}

export function relayProjection(relay: Relay): Projection<RelayedEvent, PoolClient> {
  return {
    name: 'jetstream_relay',
    // What was sent stays sent: a rebuild or a checkpoint that is moved back sends nothing again.
    effects: 'live_only',
    batchSize: 500,
    handlerTimeoutMs: 60_000,
    onFailure,
    keyOf: ({ key }) => key,
    handle: (events, { tx }) => relay.send(events, tx),
  }
}
