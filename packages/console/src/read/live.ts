import type { IncomingMessage, ServerResponse } from 'node:http'
import { SAFE_HEADERS } from '../http/respond.ts'
import type { SharedLook } from '../look/shared-look.ts'
import type { LiveMessage } from '../protocol.ts'

/** A viewer that takes nothing any more is let go with so much unsent. */
const MOST_UNSENT_BYTES = 4_000_000

/** Sends each message until the viewer is gone, or has fallen behind. Ends what `over` says. */
export function sendLive(
  request: IncomingMessage,
  response: ServerResponse,
  look: SharedLook,
  over: () => void,
): void {
  response.writeHead(200, {
    ...SAFE_HEADERS,
    'content-type': 'text/event-stream; charset=utf-8',
    // A proxy in front is not to wait until there is more of it.
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  const send = (message: LiveMessage): void => {
    // A message says everything: one that does not get through is left out.
    if (response.writableLength > MOST_UNSENT_BYTES) response.destroy()
    else if (response.writableLength === 0)
      response.write(`id: ${message.id}\ndata: ${JSON.stringify(message)}\n\n`)
  }
  const unsubscribe = look.subscribe(send)
  const end = (): void => {
    unsubscribe()
    over()
  }
  response.once('close', end)
  request.once('error', end)
}
