import { randomUUID } from 'node:crypto'
import { ERRORS } from './errors.ts'
import { eventResponse } from './event-responses.ts'
import type { Generation } from './generations.ts'
import { resolve } from './links.ts'
import { LiveBuffer } from './live-buffer.ts'
import type { Log, LogRecord } from './log.ts'
import type { OpenCall } from './open-calls.ts'
import type { streams } from './protocol.ts'
import { caughtUp, confirmation } from './read-responses.ts'
import { forwards, streamState } from './stream-reads.ts'

/**
 * Enumerator.StreamSubscription.cs: confirms, reads from the log until its end, says so, goes on with live events, and
 * back to the log when those came too fast. A stream that does not exist is waited for.
 *
 * What has a revision at or below the one given is not sent, also when the stream does not reach that far yet: whoever
 * comes with a checkpoint of another stream hears nothing, and no error.
 */
export async function subscribeToStream(
  log: Log,
  open: OpenCall<Buffer>,
  options: streams.ReadReq.Options,
  { saysWhen }: Generation,
): Promise<void> {
  const name = open.stream
  const deleted = () => open.fail(ERRORS['stream-deleted']({ stream: name }))
  if (streamState(log, name) === 'tombstoned') return deleted()
  const live = new LiveBuffer<LogRecord>(open.ended)
  const known = log.lastRevision(name)
  log.follow((record) => record.stream === name && live.push(record), open.ended)
  await open.send(confirmation(randomUUID()))

  let reached = startOf(options.getStream(), known)
  let seen = 0
  const send = async (record: LogRecord, origin: 'log' | 'live'): Promise<void> => {
    const resolved = resolve(log, record, options.getResolveLinks())
    // Only of what is live the server has the commit position at hand.
    await open.send(eventResponse(resolved, origin === 'live' ? '$all' : 'stream'))
    reached = record.revision
    if (record.type === '$streamDeleted') deleted()
  }
  for (let behind = reached < known; !open.ended.aborted; behind = true) {
    if (behind) {
      if (streamState(log, name) === 'tombstoned') return deleted()
      if (streamState(log, name) === 'readable') {
        for (const record of forwards(log, name, reached + 1n)) await send(record, 'log')
      }
    }
    await open.send(caughtUp(reached < 0n ? undefined : { revision: reached }, saysWhen))
    for (;;) {
      const next = await live.take()
      if (next === undefined) return
      const inSequence = next.number === seen + 1
      seen = next.number
      if (next.item.revision <= reached) continue
      if (!inSequence) break
      await send(next.item, 'live')
    }
  }
}

function startOf(options: streams.ReadReq.Options.StreamOptions | undefined, known: bigint): bigint {
  // Beyond the greatest int64 a revision is negative (StreamRevision.ToInt64).
  if (options?.hasRevision()) return BigInt.asIntN(64, BigInt(options.getRevision()))
  return options?.hasEnd() ? known : -1n
}
