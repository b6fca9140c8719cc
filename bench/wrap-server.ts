/**
 * What `bench:wrap` subscribes to, in a process of its own: one stream, answered with messages that were encoded before,
 * many at a time, so that the subscriber is never the one that waits. It is no more of a server than that takes; the
 * tests' server does the real work of one with each event.
 */
import { constants, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { encodeEvent, encodeSubscription, isSubscription } from './wrap/encoded-events.ts'

const READ = '/event_store.client.streams.Streams/Read'
const UNIMPLEMENTED = '12'

const [stream = '', events = ''] = process.argv.slice(2)
const subscription = encodeSubscription(stream, Number(events))
const newest = encodeEvent(stream, Number(events) - 1)

const server = createServer()
server.on('stream', (call, headers) => {
  // Whoever has read enough cancels the call.
  call.on('error', () => {})
  if (headers[constants.HTTP2_HEADER_PATH] === READ)
    call.once('data', (request: Buffer) => void answer(call, request))
  else call.respond({ ...GRPC, 'grpc-status': UNIMPLEMENTED }, { endStream: true })
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())

const GRPC = { ':status': 200, 'content-type': 'application/grpc' }

async function answer(call: ServerHttp2Stream, request: Buffer): Promise<void> {
  call.respond(GRPC, { waitForTrailers: true })
  call.on('wantTrailers', () => call.sendTrailers({ 'grpc-status': '0' }))
  // A subscription stays open; the monitor's look at the head is a read.
  if (isSubscription(request))
    await pipeline(Readable.from(subscription), call, { end: false }).catch(() => {})
  else call.end(newest)
}
