import type { IncomingMessage, ServerResponse } from 'node:http'
import { gzip } from 'node:zlib'
import { explain } from './explain.ts'

const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/** Of every answer, whatever it is. */
export const SAFE_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  'content-security-policy': CSP,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
})

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Less than that is as large when it is packed. */
const WORTH_PACKING = 1_400

/** Sends JSON. What cannot be sent any more is nobody's. */
export async function sendJson(
  request: IncomingMessage,
  response: ServerResponse,
  { status, body, headers = {} }: Answer,
): Promise<void> {
  const text = Buffer.from(JSON.stringify(body))
  const isPacked = text.length > WORTH_PACKING && acceptsGzip(request)
  const sent = isPacked ? await packed(text) : text
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    ...SAFE_HEADERS,
    'content-type': 'application/json; charset=utf-8',
    vary: 'accept-encoding',
    ...(isPacked ? { 'content-encoding': 'gzip' } : {}),
    'content-length': sent.length,
    ...headers,
  })
  response.end(request.method === 'HEAD' ? undefined : sent)
}

export async function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): Promise<void> {
  const { status, error: body } = explain(error)
  // What was not read of a body would be taken for the next request.
  const headers: Record<string, string> = request.complete ? {} : { connection: 'close' }
  if (status === 429) headers['retry-after'] = '10'
  await sendJson(request, response, { status, body: { error: body }, headers })
}

export function acceptsGzip({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return /(^|[\s,])gzip(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(headers['accept-encoding'] ?? ''))
}

function packed(text: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(text, (error, result) => (error === null ? resolve(result) : reject(error)))
  })
}
